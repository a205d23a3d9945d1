"""Mistakes in sums and means."""

import numpy as np

from amad_core.attention.inputs import FloatArray
from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import Form, Mistake, one
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Replace,
    Stage,
    Wrap,
    after,
)


def _divided_by(divisor: Stage) -> Mutation:
    return {"per_sample": after(lambda problem, losses: losses / divisor(problem))}


def _valid_cells(problem: Problem) -> FloatArray:
    return np.asarray(np.maximum(np.sum(problem.valid, axis=(1, 2)), 1.0))


def valid_rows(problem: Problem) -> FloatArray:
    """Query rows of each sample with a cell that counts, 1 at least."""
    return np.asarray(np.maximum(np.sum(problem.valid.any(axis=2), axis=1), 1.0))


def _valid_keys(problem: Problem) -> FloatArray:
    return np.asarray(np.maximum(np.sum(problem.valid.any(axis=1), axis=1), 1.0))


def _per_sample(count: Stage, heads: bool) -> Mutation:
    def divided(problem: Problem, losses: Array) -> Array:
        divisor = count(problem) * (problem.teacher_heads if heads else 1)
        return losses / problem.arrays.constant(np.asarray(divisor, dtype=np.float64))

    return {"per_sample": after(divided)}


def _head_mean_with_batch_mean() -> Mutation:
    """One loss a sample and head is reduced at once, as a Keras loss does with what it is given."""

    def reduced(problem: Problem, loss: Array) -> Array:
        return loss / problem.teacher_heads if problem.reduction == "mean" else loss

    return {"reduced": after(reduced)}


def _pooled(count: Stage, heads: bool) -> Mutation:
    def reduced(problem: Problem, losses: Array) -> Array:
        counted = problem.valid.any(axis=(1, 2))  # an empty sample has no part in the sum
        number = max(float(np.sum(count(problem)[counted])), 1.0)
        divisor = number * (problem.teacher_heads if heads else 1)
        return problem.arrays.sum(losses, 0) / divisor

    return {"reduced": Replace(reduced)}


def means_over(count: Stage, every: Stage, heads: bool) -> tuple[Form, ...]:
    """All of them counted, or only the valid ones of each sample."""
    factor = (lambda problem: problem.teacher_heads) if heads else (lambda problem: 1)
    return (
        Form("", _divided_by(lambda problem: every(problem) * factor(problem))),
        Form("valid ones of the sample", _per_sample(count, heads)),
    )


def _summed(problem: Problem, losses: Array) -> Array:
    return problem.arrays.sum(losses, 0)


def _averaged(problem: Problem, losses: Array) -> Array:
    return problem.arrays.sum(losses, 0) / losses.shape[0]


def _other_than_asked(inner: Stage, problem: Problem, losses: Array) -> Array:
    if problem.reduction == "none":
        return inner(problem, losses)
    return (_summed if problem.reduction == "mean" else _averaged)(problem, losses)


def _although_none(stage: Stage) -> Stage:
    def reduced(inner: Stage, problem: Problem, losses: Array) -> Array:
        return (stage if problem.reduction == "none" else inner)(problem, losses)

    return reduced


def _factor(factor: float) -> Mutation:
    return {"reduced": after(lambda problem, loss: loss * factor)}


MISTAKES = (
    Mistake(
        name="mean-over-heads",
        sentence="The loss is averaged over the teacher heads; AMAD sums over them (eq. 5).",
        symptom="Value and gradient exactly 1/Ht of the right ones.",
        mend="Sum over the heads; 'batchmean' on [B*Ht, ...] divides by the heads too.",
        evidence="Two of three known public ports do so.",
        forms=(
            Form("", _divided_by(lambda problem: problem.teacher_heads)),
            Form("in the mean over the batch only", _head_mean_with_batch_mean()),
        ),
    ),
    Mistake(
        name="mean-over-student-heads",
        sentence="The loss is divided by the number of student heads.",
        symptom="Exactly 1/Hs.",
        mend="Sum over the teacher heads, divide by nothing but the batch.",
        forms=one(_divided_by(lambda problem: problem.student_heads)),
    ),
    Mistake(
        name="mean-over-head-pairs",
        sentence="The loss is divided by the number of pairs of heads.",
        symptom="Exactly 1/(Ht Hs).",
        mend="Sum over the teacher heads, divide by nothing but the batch.",
        forms=one(_divided_by(lambda problem: problem.teacher_heads * problem.student_heads)),
    ),
    Mistake(
        name="mean-over-rows",
        sentence="The loss is averaged over the query rows; AMAD sums over them (eq. 12), and "
        "whole maps have no such mean.",
        symptom="Exactly 1/Q of the right value.",
        mend="Sum over the rows.",
        evidence="Measured.",
        forms=means_over(valid_rows, lambda problem: problem.queries, False),
    ),
    Mistake(
        name="mean-over-heads-and-rows",
        sentence="The loss is averaged over heads and query rows; AMAD sums over them.",
        symptom="Exactly 1/(Ht Q): 'batchmean' over [B*Ht*Q, K].",
        mend="Sum over heads and rows, then divide by the batch.",
        evidence="VLM-Spatial-Reasoning; kd-sink.",
        forms=means_over(valid_rows, lambda problem: problem.queries, True),
    ),
    Mistake(
        name="mean-over-cells",
        sentence="The loss is divided by the number of cells of a map; AMAD sums over cells.",
        symptom="Exactly 1/n; against a mean over rows 2/(K+1) on causal maps.",
        mend="Sum over cells.",
        evidence="kd-sink's first pilot: 64.5 times too small at 128 causal tokens.",
        forms=means_over(_valid_cells, lambda problem: problem.cells, False),
    ),
    Mistake(
        name="mean-over-elements",
        sentence="The loss is the mean over all elements (heads and cells), as mse_loss and "
        "kl_div reduce by default.",
        symptom="Exactly 1/(Ht n): the term all but vanishes.",
        mend="Sum over heads and cells; then average over the batch.",
        evidence="DeiT #61, #116; pytorch #6622.",
        forms=means_over(_valid_cells, lambda problem: problem.cells, True),
    ),
    Mistake(
        name="mean-over-keys",
        sentence="The loss is averaged over the keys; AMAD sums over them.",
        symptom="Exactly 1/K of the right value.",
        mend="Sum over the keys.",
        forms=(
            *means_over(_valid_keys, lambda problem: problem.keys, False),
            Form("and heads", _divided_by(lambda problem: problem.keys * problem.teacher_heads)),
        ),
    ),
    Mistake(
        name="divided-by-real-tokens",
        sentence="The sum over the batch is divided by the number of its real tokens, not by the "
        "number of samples.",
        symptom="Short samples count less; the loss falls with the length of the texts.",
        mend="Divide by the samples: every sample's loss is a sum over heads already.",
        evidence="The mean of language modelling, loss.sum() / attention_mask.sum().",
        forms=(
            Form("keys that count", _pooled(_valid_keys, False)),
            Form("rows that count", _pooled(valid_rows, False)),
            Form("keys that count, and heads", _pooled(_valid_keys, True)),
            Form("rows that count, and heads", _pooled(valid_rows, True)),
        ),
    ),
    Mistake(
        name="divided-by-valid-cells",
        sentence="The sum over the batch is divided by the number of its cells that count, not by "
        "the number of samples.",
        symptom="The term all but vanishes, most for long samples.",
        mend="Divide by the samples: every sample's loss is a sum over heads already.",
        evidence="A masked mean, (loss * mask).sum() / mask.sum().",
        forms=(
            Form("", _pooled(_valid_cells, False)),
            Form("and heads", _pooled(_valid_cells, True)),
        ),
    ),
    Mistake(
        name="sum-and-mean-over-the-batch-exchanged",
        sentence="Over the batch, the sum is taken for the mean, or the mean for the sum.",
        symptom="Exactly B or 1/B: the weight of the loss depends on the batch size.",
        mend="Use the reduction asked for.",
        evidence="easydistill #16.",
        forms=one({"reduced": Wrap(_other_than_asked)}),
    ),
    Mistake(
        name="divided-by-the-batch-twice",
        sentence="The loss is divided by the batch size once more than asked.",
        symptom="Exactly 1/B: with more samples the loss fades.",
        mend="Divide once; look for a mean after a 'batchmean'.",
        forms=one({"reduced": after(lambda problem, loss: loss / problem.batch)}),
    ),
    Mistake(
        name="reduction-ignored",
        sentence="The losses of the samples are reduced to one number although one a sample was "
        "asked for.",
        symptom="A scalar instead of [B].",
        mend="Return the losses unreduced with reduction 'none'.",
        forms=(
            Form("mean", {"reduced": Wrap(_although_none(_averaged))}),
            Form("sum", {"reduced": Wrap(_although_none(_summed))}),
        ),
    ),
    Mistake(
        name="halved",
        sentence="The loss is half of what it should be.",
        symptom="Exactly 1/2, gradient too.",
        mend="Remove the factor; l2_loss and smooth_l1 halve squares.",
        evidence="tf.nn.l2_loss, torch.nn.SmoothL1Loss (exactly half below its threshold).",
        forms=one(_factor(0.5)),
    ),
    Mistake(
        name="doubled",
        sentence="The loss is twice what it should be.",
        symptom="Exactly 2, gradient too.",
        mend="Remove the factor; the Jensen-Shannon divergence halves its sum; do not add a "
        "layer pair twice.",
        forms=one(_factor(2.0)),
    ),
    Mistake(
        name="loss-negated",
        sentence="The sign of the loss is wrong.",
        symptom="Exactly -1; training drives the maps apart.",
        mend="KL is sum p (log p - log m), to be minimised.",
        forms=one(_factor(-1.0)),
    ),
)
