"""Mistakes that one call, of one layer, in double precision cannot show; other checks find them."""

from amad_core.conformance.diagnosis.mistakes.mistake import (
    INPUTS_UNCHANGED,
    LAYERS,
    PRECISION,
    REPEATED_CALLS,
    Mistake,
)

MISTAKES = (
    Mistake(
        name="inputs-changed-in-place",
        sentence="The maps that were passed in are changed (t /= norm, masked_fill_, +=).",
        symptom="The first call is right, the caller's maps are not afterwards; later losses are "
        "wrong.",
        mend="Work on new arrays.",
        evidence="PaddleNLP adds its mask in place; marge #7.",
        found_by=INPUTS_UNCHANGED,
    ),
    Mistake(
        name="random-result",
        sentence="Two calls with the same inputs give different results: dropout or noise is "
        "active.",
        symptom="Value jitters (mean +13 %, sd 12 % with dropout on maps).",
        mend="No dropout inside the loss; teacher in evaluation mode, maps taken before dropout.",
        evidence="HF transformers #31468, TRL #5862.",
        found_by=REPEATED_CALLS,
    ),
    Mistake(
        name="state-kept-between-calls",
        sentence="The result of a call depends on the calls before it: a running mean, a cache, "
        "or a temperature that changes.",
        symptom="Calls in another order give other values.",
        mend="Keep nothing between calls, or make it an explicit argument.",
        found_by=REPEATED_CALLS,
    ),
    Mistake(
        name="layers-averaged",
        sentence="The losses of the layers are averaged; AMAD sums over the pairs of layers.",
        symptom="Exactly 1/L of the right value with L pairs of layers.",
        mend="Add the layers' losses up; the weight of the sum is the caller's.",
        evidence="A decision: see the total loss in the specification.",
        found_by=LAYERS,
    ),
    Mistake(
        name="layers-left-out",
        sentence="Only the first or the last of the layers counts.",
        symptom="The other layers of the student get no gradient.",
        mend="Add up over all pairs of layers; look for a loss that is overwritten in a loop.",
        found_by=LAYERS,
    ),
    Mistake(
        name="layers-chosen-inside",
        sentence="The port chooses among the layers by itself; lists of layers that are paired "
        "already do not fit it.",
        symptom="Only some layers of the teacher, or of the student, count; none where the lists "
        "are short.",
        mend="If that is meant, judge the function that it calls for one pair of layers; else pair "
        "the lists as they come, and leave the choice to the caller.",
        evidence="Ports that take every n-th teacher layer.",
        found_by=LAYERS,
    ),
    Mistake(
        name="layers-paired-wrongly",
        sentence="The layers are paired in another order than given: the first of the teacher with "
        "the last of the student.",
        symptom="The loss of each pair is that of other layers.",
        mend="Pair the lists as they come, zip(teacher, student, strict=True).",
        evidence="TinyBERT #166 for a layer map that is off by one.",
        found_by=LAYERS,
    ),
    Mistake(
        name="low-precision-arithmetic",
        sentence="Sums or logarithms are computed in half precision (float16, bfloat16, TF32).",
        symptom="0.1 to 2 % of noise; log of a floor that rounds to 0 is -inf.",
        mend="Cast the maps to float32 first; AMAD's loss dtype is float32 at least.",
        evidence="PaddleNLP #1426, NeMo #2658, EasyDeL #267.",
        found_by=PRECISION,
    ),
    Mistake(
        name="single-precision-for-double",
        sentence="Double-precision maps are computed in single precision.",
        symptom="Errors of 1e-7 instead of 1e-16; finite differences fail.",
        mend="Keep float64 inputs in float64.",
        found_by=PRECISION,
    ),
)
