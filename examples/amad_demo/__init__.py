"""The demo: three students of the study, taught by one vision-language teacher with more heads.

`command.demo` is the command `amad demo`; `methods` says how the students differ. Model, questions
and training are the study's: `amad_study.runs.methods.make_distiller` makes the distillers, and
`amad_study.models.training.train` is the loop around them.
"""
