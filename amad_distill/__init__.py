"""`amad distill`: two models, data and losses named in one file, a distilled student out.

`settings` says what the file may hold, `command` is the command, `run` what it does. Everything
else is a part that a program may use, too: models, data, log, checkpoints, pictures.
"""
