"""The catalogue as a page of the documentation: ``python -m amad_core.conformance.diagnosis.page``.

Writes ``docs/mistakes.md``, or the file named as the only argument. How far each mistake moves the
loss is measured while the page is written, on the designed inputs of seed 0.
"""

import sys
from collections.abc import Iterator, Sequence
from functools import lru_cache
from pathlib import Path

import numpy as np

from amad_core.conformance.diagnosis.mistakes import MISTAKES, Mistake
from amad_core.conformance.diagnosis.mistakes.mistake import (
    ALL,
    GRADIENTS,
    INPUTS_UNCHANGED,
    LAYERS,
    MASKS,
    PRECISION,
    REPEATED_CALLS,
    TEACHER_GRADIENT,
    VALUES,
)
from amad_core.conformance.diagnosis.pipeline import stages_with, value_of
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import discriminating_cases
from amad_core.conformance.judging.judgement import specified
from amad_core.files import write_atomically

TEMPERATURE = 0.7
"""Not 1, so that mistakes in the temperature show."""

_FOUND_BY = {
    VALUES: "values",
    GRADIENTS: "gradients only",
    TEACHER_GRADIENT: "a gradient taken with respect to the teacher",
    MASKS: "masked inputs only",
    INPUTS_UNCHANGED: "comparing the inputs before and after the call",
    LAYERS: "a call with several layers",
    REPEATED_CALLS: "calling twice with the same inputs",
    PRECISION: "the size of the rounding error",
}

_TOPICS = {
    "similarity": "Similarity of heads",
    "alignment": "Weights",
    "temperature": "Temperature",
    "granularity": "Whole maps, rows, heads",
    "normalisation": "Normalisation",
    "divergence": "Divergence",
    "reduction": "Sums and means",
    "heads": "Roles and heads",
    "head_groups": "Heads grouped, padded, spread over devices",
    "batch": "Batch and axes",
    "masking": "Masks",
    "gradient": "Gradients",
    "floor": "Small numbers",
    "zeros": "Cells of exactly 0",
    "subsets": "Cells left out by size",
    "projection": "Projection",
    "state": "State, layers and precision",
}

_INTRODUCTION = f"""# Known mistakes

This page is written by `python -m amad_core.conformance.diagnosis.page` from the catalogue that
`amad verify` diagnoses with. Each entry is executable: it gives the value and the gradient that a
port with this mistake gives.

**Measured** is the loss of a port with the mistake over the right one, smallest to largest, on the
designed inputs of `amad_core.conformance.inputs.designed` (temperature {TEMPERATURE}, seed 0) that
show it, first way of making it, first variant it applies to. `inf` and `nan` are what such a port
gives. What random inputs give is milder: compare the symptoms.
"""


def page() -> str:
    """The whole page, Markdown."""
    return "\n".join([_INTRODUCTION, *_contents(), *_entries()]) + "\n"


def _topic(mistake: Mistake) -> str:
    for module, title in _TOPICS.items():
        if mistake in _module(module):
            return title
    raise LookupError(f"no module of the catalogue holds {mistake.name!r}")


def _module(name: str) -> Sequence[Mistake]:
    from importlib import import_module

    entries: Sequence[Mistake] = import_module(
        f"amad_core.conformance.diagnosis.mistakes.{name}"
    ).MISTAKES
    return entries


def _contents() -> Iterator[str]:
    yield f"{len(MISTAKES)} mistakes:"
    yield ""
    for module, title in _TOPICS.items():
        links = ", ".join(f"[{entry.name}](#{entry.name})" for entry in _module(module))
        yield f"- **{title}**: {links}"
    yield ""


def _entries() -> Iterator[str]:
    topic = ""
    for entry in MISTAKES:
        if _topic(entry) != topic:
            topic = _topic(entry)
            yield f"## {topic}\n"
        yield from _entry(entry)


def _entry(entry: Mistake) -> Iterator[str]:
    # The anchor is written out: Markdown flavours make different ones from headings.
    yield f'### <a id="{entry.name}"></a>{entry.name}\n'
    yield f"{entry.sentence}\n"
    yield f"- Symptom: {entry.symptom}"
    yield f"- Mend: {entry.mend}"
    if entry.evidence:
        yield f"- Evidence: {entry.evidence}"
    labels = [form.label for form in entry.forms if form.label]
    labels += [
        fitted_form.label.replace("{:.4g}", "any").replace("{:.3g}", "any")
        for fitted_form in entry.fitted_forms
    ]
    if labels:
        yield f"- Ways to make it: {'; '.join(labels)}"
    if entry.variants != ALL:
        yield f"- Variants: {', '.join(entry.variants)}"
    if entry.same_as:
        yield f"- Not to be told from: {', '.join(entry.same_as)} (the same function)"
    yield f"- Shown by: {_FOUND_BY[entry.found_by]}"
    if entry.forms:
        yield f"- Measured: {_measured(entry)}"
    yield ""


@lru_cache(maxsize=32)
def _cases(variant: str, reduction: str) -> tuple[Case, ...]:
    cases = discriminating_cases(variant, temperature=TEMPERATURE, reduction=reduction)
    return tuple(case for case in cases if not case.name.startswith("twin/"))


def _measured(entry: Mistake) -> str:
    form = entry.forms[0]
    variant = next(name for name in entry.variants if name in form.variants)
    reduction = "none" if entry.name == "reduction-ignored" else "mean"
    ratios = []
    for case in _cases(variant, reduction):
        expected = np.asarray(specified(case).value)
        try:
            found = value_of(case, stages_with(form.mutation))
        except (ValueError, IndexError):
            continue
        if found.shape != expected.shape:
            return f"a result of shape {list(found.shape)} for {list(expected.shape)} ({variant})"
        ratios.append(float(np.sum(found) / np.sum(expected)))
    shown = sorted((ratio for ratio in ratios if not abs(ratio - 1) < 1e-9), key=_nan_last)
    if not shown:
        return f"the value is right ({variant})"
    ends = (
        f"{shown[0]:.3g}"
        if f"{shown[0]:.3g}" == f"{shown[-1]:.3g}"
        else f"{shown[0]:.3g} to {shown[-1]:.3g}"
    )
    return f"{ends}, seen in {len(shown)} of {len(ratios)} inputs that run ({variant})"


def _nan_last(ratio: float) -> tuple[bool, float]:
    return np.isnan(ratio), ratio


def main() -> None:
    """Writes the page, whole or not at all."""
    write_atomically(Path(sys.argv[1] if len(sys.argv) > 1 else "docs/mistakes.md"), page())


if __name__ == "__main__":
    main()
