"""What readers are told methods, tasks and families are called."""

import re

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
