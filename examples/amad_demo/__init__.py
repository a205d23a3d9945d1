"""The demo: a vision-language teacher with many heads is distilled into a small student.

`command.demo` is the command `amad demo`; `training.train_student` shows how AMAD goes into a
PyTorch training loop.
"""
