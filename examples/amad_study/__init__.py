"""The study: what attention distillation is worth, on two vision-language models and three tasks.

`data` is what the models learn from and how their answers are scored; `models` are these, their
teachers, and the gate that a teacher has to pass; `runs` trains one student a cell of a plan.
"""
