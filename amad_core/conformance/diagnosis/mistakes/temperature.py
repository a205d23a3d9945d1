"""Mistakes with the temperature of the softmax."""

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import FittedForm, Form, Mistake, one
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    Wrap,
    after,
)


def _temperature(value: float) -> Mutation:
    return {"logits": Replace(lambda problem, similarity: similarity / value)}


def _scaled_logits(stage: Stage) -> Mutation:
    return {"logits": after(stage)}


def _sharpened(inner: Stage, problem: Problem, maps: Array) -> Array:
    where = problem.arrays.where
    some = problem.arrays.values(maps) > 0
    powers = where(some, where(some, maps, 1.0) ** (1.0 / problem.temperature), 0.0)
    return inner(problem, powers / problem.arrays.sum(powers, -1, True))


FIXED = (0.1, 0.5, 2.0, 0.05, 0.07, 0.2, 4.0, 0.01, 5.0, 10.0)

MISTAKES = (
    Mistake(
        name="temperature-ignored",
        sentence="The temperature is not used: the weights are those of temperature 1.",
        symptom="Nothing changes when the temperature does.",
        mend="Divide the cosines by the temperature before the softmax.",
        forms=one({"logits": Replace(lambda problem, similarity: similarity)}),
    ),
    Mistake(
        name="temperature-multiplied",
        sentence="The cosines are multiplied by the temperature instead of divided.",
        symptom="A lower temperature makes the weights more even instead of sharper.",
        mend="similarity / temperature.",
        forms=one(
            {"logits": Replace(lambda problem, similarity: similarity * problem.temperature)}
        ),
    ),
    Mistake(
        name="temperature-squared",
        sentence="The cosines are divided by the square of the temperature (twice by it), or by "
        "its root.",
        symptom="Right at temperature 1 only.",
        mend="Divide once; look for a second division inside the softmax.",
        forms=(
            Form("square", _scaled_logits(lambda problem, logits: logits / problem.temperature)),
            Form("root", _scaled_logits(lambda problem, logits: logits * problem.temperature**0.5)),
        ),
    ),
    Mistake(
        name="another-temperature",
        sentence="The softmax runs at a fixed temperature that is not the one asked for.",
        symptom="Weights too sharp or too even; 4 % on random maps, 33 % on designed ones.",
        mend="Use the temperature asked for; the paper has 1.",
        evidence="A public BLIP-2 port has 0.1.",
        forms=tuple(Form(f"temperature {value:g}", _temperature(value)) for value in FIXED),
        fitted_forms=(FittedForm("temperature {:.4g}", _temperature, 1e-3, 1e3, broad=True),),
    ),
    Mistake(
        name="scaled-like-attention",
        sentence="The similarities are divided by the square root of a size, as in scaled "
        "dot-product attention.",
        symptom="Weights nearly uniform; 1 to 3 % on random maps, 45 % on disjoint heads.",
        mend="Cosines are already scaled: divide by the temperature only.",
        evidence="Measured.",
        forms=(
            Form(
                "root of the cells",
                _scaled_logits(lambda problem, logits: logits / problem.cells**0.5),
            ),
            Form(
                "root of the keys",
                _scaled_logits(lambda problem, logits: logits / problem.keys**0.5),
            ),
            Form(
                "root of the queries",
                _scaled_logits(lambda problem, logits: logits / problem.queries**0.5),
            ),
            Form(
                "root of the student heads",
                _scaled_logits(lambda problem, logits: logits / problem.student_heads**0.5),
            ),
            Form("cells, no root", _scaled_logits(lambda problem, logits: logits / problem.cells)),
        ),
    ),
    Mistake(
        name="loss-times-temperature-squared",
        sentence="The loss is multiplied by the temperature squared, as for softened logits.",
        symptom="Right at temperature 1; a factor 16 at 4.",
        mend="The factor belongs to the loss of the outputs. AMAD has none.",
        evidence="Hinton et al. 2015 for logits; IntelLabs/distiller #122 for the confusion.",
        forms=(
            Form(
                "squared", {"reduced": after(lambda problem, loss: loss * problem.temperature**2)}
            ),
            Form(
                "divided by the square",
                {"reduced": after(lambda problem, loss: loss / problem.temperature**2)},
            ),
            Form("once", {"reduced": after(lambda problem, loss: loss * problem.temperature)}),
        ),
    ),
    Mistake(
        name="temperature-on-the-maps",
        sentence="The temperature sharpens the attention maps themselves.",
        symptom="Right at temperature 1 only; also divergence terms change, not only weights.",
        mend="The temperature belongs to the softmax over student heads; leave the maps alone.",
        forms=one({"teacher_mask": Wrap(_sharpened), "student_mask": Wrap(_sharpened)}),
    ),
)
