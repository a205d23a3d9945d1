"""Mistakes that mix the samples of a batch, or axes of the maps."""

from amad_core.conformance.diagnosis.arrays import Array
from amad_core.conformance.diagnosis.mistakes.mistake import WHOLE_MAP, Form, Mistake, one
from amad_core.conformance.diagnosis.mistakes.similarity import both_units
from amad_core.conformance.diagnosis.pipeline import (
    Mutation,
    Problem,
    Stage,
    Wrap,
    after,
    divided,
    l2_norm,
)

_NOT_PROJECTED = ("mse", "kl", "js", "token")


def both_layouts(stage: Stage) -> Mutation:
    """``stage(inner, problem, maps)`` lays out teacher and student."""
    return {"teacher_layout": Wrap(stage), "student_layout": Wrap(stage)}


def _averaged(problem: Problem, weights: Array) -> Array:
    return problem.arrays.sum(weights, 0, True) / weights.shape[0] + 0.0 * weights


def _of_the_first(problem: Problem, weights: Array) -> Array:
    return weights[:1] + 0.0 * weights


def _unit_over_batch(problem: Problem, heads: Array) -> Array:
    return divided(problem, heads, l2_norm(problem, heads, (0, -1)))


def _summed_over_batch(problem: Problem, similarity: Array) -> Array:
    return problem.arrays.sum(similarity, 0, True) + 0.0 * similarity


def _batch_into_heads(inner: Stage, problem: Problem, maps: Array) -> Array:
    maps = problem.arrays.reshape(maps, (1, -1, problem.queries, problem.keys))
    return inner(problem, maps)


def _over_true_batch(inner: Stage, problem: Problem, losses: Array) -> Array:
    loss = inner(problem, losses)
    return loss / problem.batch if problem.reduction == "mean" else loss


def _batch_and_heads_reshaped(inner: Stage, problem: Problem, maps: Array) -> Array:
    batch, heads = maps.shape[0], maps.shape[1]
    aligned_maps = problem.arrays.reshape(maps, (heads, batch, problem.queries, problem.keys))
    return inner(problem, problem.arrays.swapaxes(aligned_maps, 0, 1))


def swapped(first: int, second: int) -> Stage:
    """Two axes of ``[B, H, Q, K]`` exchanged before the layout."""
    return lambda inner, problem, maps: inner(problem, problem.arrays.swapaxes(maps, first, second))


def _in_both_or_one(first: int, second: int) -> tuple[Form, ...]:
    """Axes exchanged in both maps, or in one of them, where sizes are equal and nothing crashes."""
    return (
        Form("", both_layouts(swapped(first, second))),
        *(
            Form(
                f"{who} only",
                {f"{who}_layout": Wrap(_swapped_unnoticed(first, second))},
                in_pairs=False,
            )
            for who in ("student", "teacher")
        ),
    )


def _swapped_unnoticed(first: int, second: int) -> Stage:
    def layout(inner: Stage, problem: Problem, maps: Array) -> Array:
        if maps.shape[first] != maps.shape[second]:
            raise ValueError("axes of different sizes are not exchanged unnoticed")
        return inner(problem, problem.arrays.swapaxes(maps, first, second))

    return layout


def _heads_and_queries_reshaped(inner: Stage, problem: Problem, maps: Array) -> Array:
    batch, heads = maps.shape[0], maps.shape[1]
    if problem.by_row:
        return problem.arrays.reshape(maps, (batch, problem.queries, heads, problem.keys))
    cells = problem.arrays.reshape(maps, (batch, problem.cells, heads))
    return problem.arrays.swapaxes(cells, 1, 2)


MISTAKES = (
    Mistake(
        name="weights-averaged-over-the-batch",
        sentence="The weights are averaged (or summed) over the batch and shared by all samples.",
        symptom="1 to 2 % on random maps, 49 % where samples order their heads differently; "
        "invisible with one sample.",
        mend="Keep the batch axis: weights [B, Ht, Hs].",
        evidence="Measured: 1.01 to 1.02, designed input 1.49.",
        forms=(
            Form("weights", {"weights": after(_averaged)}),
            Form("similarities", {"similarity": after(_averaged)}),
            Form("weights, summed", {"weights": after(_summed_over_batch)}),
            Form("similarities, summed", {"similarity": after(_summed_over_batch)}),
        ),
    ),
    Mistake(
        name="batch-flattened-into-features",
        sentence="Cosines are taken over batch and cells together, so all samples share weights.",
        symptom="0 to 3 % on random maps, 50 % on designed ones; invisible with one sample.",
        mend="Flatten [Q, K] only; never the batch.",
        evidence="Measured.",
        forms=one({**both_units(_unit_over_batch), "similarity": after(_summed_over_batch)}),
    ),
    Mistake(
        name="batch-flattened-into-heads",
        sentence="Batch and heads are flattened into one axis, so teacher heads mix student "
        "heads of other samples.",
        symptom="9 to 20 % too small or far off; a sample's loss depends on its neighbours.",
        mend="Use batched matrix products; keep [B, H, n].",
        evidence="Measured: value 0.80 to 0.91.",
        variants=_NOT_PROJECTED,
        forms=one({**both_layouts(_batch_into_heads), "reduced": Wrap(_over_true_batch)}),
    ),
    Mistake(
        name="batch-and-heads-reshaped",
        sentence="Maps are reshaped to [H, B, ...] without a transposition: heads and samples "
        "get mixed.",
        symptom="Values nearly right, gradients nearly orthogonal (cosine 0.15 to 0.25); right "
        "with one sample.",
        mend="Transpose the axes instead of reshaping.",
        evidence="Measured. microsoft/unilm #354 for the same slip with relation heads.",
        forms=one(both_layouts(_batch_and_heads_reshaped)),
    ),
    Mistake(
        name="weights-of-the-first-sample",
        sentence="All samples use the weights of the first one.",
        symptom="Invisible with one sample, or where all samples agree.",
        mend="Do not index the batch away: weights [B, Ht, Hs].",
        forms=one({"weights": after(_of_the_first)}),
    ),
    Mistake(
        name="only-the-first-sample",
        sentence="Only the first (or last) sample of the batch is counted.",
        symptom="All other samples have gradient 0.",
        mend="Average the losses of all samples.",
        forms=(
            Form("first", {"per_sample": after(lambda problem, losses: losses[:1])}),
            Form("last", {"per_sample": after(lambda problem, losses: losses[-1:])}),
        ),
    ),
    Mistake(
        name="batch-and-head-axes-swapped",
        sentence="Maps are read as [H, B, Q, K]: heads are taken for samples.",
        symptom="Crashes unless both models have equally many heads; then silent.",
        mend="Check where the model puts the head axis; transpose to [B, H, Q, K].",
        evidence="fairseq returns both orders, depending on the path taken.",
        forms=_in_both_or_one(0, 1),
    ),
    Mistake(
        name="head-and-query-axes-swapped",
        sentence="Maps are read as [B, Q, H, K]: query rows are taken for heads.",
        symptom="Crashes unless both models have equally many heads; then silent, gradient "
        "cosine 0.15 to 0.18.",
        mend="Transpose to [B, H, Q, K] first.",
        evidence="VeOmni #162.",
        forms=_in_both_or_one(1, 2),
    ),
    Mistake(
        name="reshape-for-transpose",
        sentence="A reshape stands where a transposition is needed, so cells of different heads "
        "and rows get mixed.",
        symptom="Values 0.87 to 1.02 of the right ones, gradient cosine 0.27 to 0.35.",
        mend="Transpose (or move the axis) first, then reshape.",
        evidence="microsoft/unilm #354; academic-budget-bert.",
        forms=one(both_layouts(_heads_and_queries_reshaped)),
    ),
    Mistake(
        name="one-map-transposed",
        sentence="Queries and keys are exchanged in one of the two maps.",
        symptom="Values nearly right on random square maps, gradient cosine 0.54; far off on "
        "causal maps.",
        mend="Both maps as [B, H, queries, keys].",
        evidence="Measured.",
        forms=(
            Form("student", {"student_layout": Wrap(swapped(2, 3))}),
            Form("teacher", {"teacher_layout": Wrap(swapped(2, 3))}),
        ),
    ),
    Mistake(
        name="both-maps-transposed",
        sentence="Queries and keys are exchanged in both maps: columns are compared for rows.",
        symptom="Value 0.65 to 0.97 in the variant token; no effect on whole maps, which do not "
        "care for the order of cells.",
        mend="Compare along the last axis, the keys of one query.",
        evidence="Measured.",
        variants=("token",),
        forms=one(both_layouts(swapped(2, 3))),
    ),
    Mistake(
        name="student-maps-of-another-sample",
        sentence="The student's maps are out of step with the teacher's by one sample (shuffled "
        "or rolled batch).",
        symptom="The loss does not fall although both models agree; right with one sample.",
        mend="Feed both models the same batch in the same order.",
        variants=(*WHOLE_MAP, "token"),
        forms=one(
            {
                "student_layout": Wrap(
                    lambda inner, problem, maps: inner(
                        problem,
                        problem.arrays.take(
                            maps, [(i + 1) % problem.batch for i in range(problem.batch)], 0
                        ),
                    )
                )
            }
        ),
    ),
)
