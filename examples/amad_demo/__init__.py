"""The demo: a vision-language teacher with many heads is distilled into a small student.

`command.demo` is the command `amad demo`; `methods.make_distiller` and `training.train_student`
show how AMAD goes into a PyTorch training loop.
"""
