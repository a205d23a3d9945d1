"""Is a wrong port right about something else: another variant, another reduction?"""

from collections.abc import Iterable, Iterator
from dataclasses import replace

from amad_core.arguments.maps import REDUCTIONS
from amad_core.attention.variants import VARIANTS
from amad_core.conformance.judging.judgement import Judgement, specified
from amad_core.conformance.judging.tolerance import tolerance, within

_WITHOUT_PROJECTION = tuple(name for name in VARIANTS if name != "projected")
_CASES_COMPARED = 6
"""So many without a mask tell one set of options from another."""


def other_terms(judgements: Iterable[Judgement]) -> list[str]:
    """Options under which every value judged is right, as they are typed: ``--variant kl``."""
    answered = [
        one for one in judgements if one.answer.value is not None and one.case.mask is None
    ][:_CASES_COMPARED]
    if not answered or answered[0].case.variant not in _WITHOUT_PROJECTION:
        return []
    return [
        _typed(variant, reduction, answered[0])
        for variant, reduction in _others(answered[0])
        if all(_fits(judgement, variant, reduction) for judgement in answered)
    ]


def _others(judgement: Judgement) -> Iterator[tuple[str, str]]:
    asked = (judgement.case.variant, judgement.case.reduction)
    for variant in _WITHOUT_PROJECTION:
        for reduction in REDUCTIONS:
            if (variant, reduction) != asked:
                yield variant, reduction


def _fits(judgement: Judgement, variant: str, reduction: str) -> bool:
    case = replace(judgement.case, variant=variant, reduction=reduction)
    found, wanted = judgement.answer.value, specified(case).value
    if found is None or wanted is None or found.shape != wanted.shape:
        return False
    return within(found, wanted, tolerance(case, judgement.dtype).value)


def _typed(variant: str, reduction: str, judgement: Judgement) -> str:
    options = []
    if variant != judgement.case.variant:
        options.append(f"--variant {variant}")
    if reduction != judgement.case.reduction:
        options.append(f"--reduction {reduction}")
    return " ".join(options)
