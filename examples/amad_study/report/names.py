"""What readers are told methods, tasks and families are called."""

import re
from collections.abc import Mapping, Sequence
from typing import Any

from amad_study.runs.methods import METHODS

METHOD_NAMES = {
    "ground-truth": "ground truth alone",
    "logits": "teacher's answers",
    "one-to-one": "one-to-one",
    "mean-head": "mean map",
    "best-match": "best match",
    "amad": "AMAD",
    "align-to-distill": "Align-to-Distill",
    "squeezing-heads": "Squeezing Heads",
    "minilmv2-relation": "MiniLMv2 relations",
    "grouped-means": "grouped means",
}
TASK_NAMES = {
    "digit-questions": "questions",
    "digit-captions": "captions",
    "digit-translation": "translation",
    "easy-vqa": "easy-VQA",
}
FAMILY_NAMES = {"vl-t5": "VL-T5", "blip": "BLIP"}
CHANGE_NAMES = {
    "learned-temperature": "learned temperature",
    "without-sinks": "without sinks",
    "permuted": "weights permuted",
    "uniform": "weights equal",
    "detached": "weights not learned through",
}
DIVERGENCE_NAMES = {"mse": "squared error", "kl": "KL", "js": "Jensen-Shannon"}


def method_name(method: str) -> str:
    """A method as a reader would call it; unknown ones as they are."""
    if method in METHOD_NAMES:
        return METHOD_NAMES[method]
    for pairing, name in METHOD_NAMES.items():
        divergence, _, further = method.removeprefix(f"{pairing}-").partition("-")
        if method.startswith(f"{pairing}-") and divergence in DIVERGENCE_NAMES:
            told = [name, DIVERGENCE_NAMES[divergence], CHANGE_NAMES.get(further, further)]
            return ", ".join(part for part in told if part)
    return method


def sentence_method_name(method: str) -> str:
    """A method of the students of MiniLM, who all learn the teacher's embeddings."""
    return "no attention term" if method == "ground-truth" else method_name(method)


def readable(text: str) -> str:
    """A text of the protocol with its keys of methods, tasks and families as readers know them."""

    def name(found: re.Match[str]) -> str:
        key = found.group()
        if key in METHODS or key in METHOD_NAMES:
            return method_name(key)
        return {**TASK_NAMES, **FAMILY_NAMES}.get(key, key)

    return re.sub(r"[a-z0-9]+(-[a-z0-9]+)+|blip|logits", name, text).replace("`", "")


def weight_name(tuned_as: str) -> str:
    """What a weight is chosen for, `tuned_as`; of temperatures only those that are not as usual."""
    return readable(tuned_as.removesuffix(", temperature 1"))


def place_name(family: str, task: str) -> str:
    """A family on a task."""
    return f"{FAMILY_NAMES.get(family, family)}, {TASK_NAMES.get(task, task)}"


def worth_told(worth: Sequence[dict[str, Any]]) -> str:
    """What being taught attention adds, in a sentence; empty if unknown."""
    if not worth:
        return ""
    told = "; ".join(
        f"{number(one['least'] - one['without'], '+.1f')} to "
        f"{number(one['most'] - one['without'], '+.1f')} "
        f"({place_name(one['family'], one['task'])})"
        for one in worth
    )
    return (
        "What being taught attention adds to a student's score, in points, with the worst and the "
        f"best of four pairings of heads, over the teacher's answers alone: {told}."
    )


def mean_map_told(beside: Sequence[dict[str, Any]]) -> str:
    """How AMAD stands to the mean map with the same divergence, in a sentence; empty if unknown."""
    found = [one for one in beside if one["method"] == "mean-head-kl"]
    if not found:
        return ""
    told = f"{number(found[0]['mean'], '+.1f')} points ({interval(found[0])})."
    if len(found) > 1:
        least, most = (number(end(one["mean"] for one in found), "+.1f") for end in (min, max))
        below, above = sum(one["high"] < 0 for one in found), sum(one["low"] > 0 for one in found)
        told = (
            f"{least} to {most} points, and of {len(found)} intervals {below or 'none'} below "
            f"zero, {above or 'none'} above."
        )
    return (
        "AMAD minus the mean map, which weighs all heads alike, both with KL; shown and not "
        f"tested: {told}"
    )


def sentences_told(rows: Sequence[dict[str, Any]]) -> str:
    """What attention is worth to MiniLM's students, in a sentence; empty if one has no scores."""
    if not rows or any(one["means"]["cosine"] is None for one in rows):
        return ""
    taught, alone = (
        [one["means"]["cosine"] for one in rows if (one["method"] != "ground-truth") == whether]
        for whether in (True, False)
    )
    return (
        "A teacher that was really pre-trained, MiniLM-L6, whose students learn its embeddings of "
        f"sentences; shown and not tested: a cosine of {min(alone):.1f} to {max(alone):.1f} with "
        f"no attention term, and of {min(taught):.1f} to {max(taught):.1f} with one, over four "
        "pairings and four numbers of heads."
    )


def interval(of: Mapping[str, Any]) -> str:
    """`low` and `high` of something, as tables show them."""
    return f"{number(of['low'], '+.1f')} to {number(of['high'], '+.1f')}"


def number(value: float | None, form: str = ".1f") -> str:
    """A number with a true minus sign; a dash where there is none."""
    return "–" if value is None else format(value, form).replace("-", "−")


def p_value(value: float) -> str:
    """Three digits, or that it is below what they tell."""
    return "< 0.001" if value < 0.001 else f"{value:.3f}"


def hours_and_minutes(seconds: float) -> str:
    """A time that is left, no finer than anybody can know it."""
    minutes = round(seconds / 60)
    if minutes < 1:
        return "less than a minute" if seconds > 0 else "no time"
    if minutes < 90:
        return f"{minutes} min"
    return f"{minutes / 60:.1f} h"
