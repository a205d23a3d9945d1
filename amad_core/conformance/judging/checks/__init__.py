"""What a port must fulfil, one check at a time, in the order in which reports show them."""

from collections.abc import Callable, Mapping
from types import MappingProxyType
from typing import NamedTuple

from amad_core.conformance.judging.checks import (
    drawn,
    layers,
    masks,
    options,
    precision,
    samples,
    state,
    values,
)
from amad_core.conformance.judging.checks.result import CheckResult
from amad_core.conformance.judging.examinee import Examinee


class Check(NamedTuple):
    """A check: what it is about, in a few words, and the function that decides it."""

    title: str
    run: Callable[[Examinee], CheckResult]


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        "value": Check("values equal the specification's", values.check_values),
        "gradient": Check("gradients equal the specification's", values.check_gradients),
        "teacher": Check("gradient of the teacher's maps", values.check_teacher),
        "edges": Check("one head, one query, one key, exact zeros", values.check_edges),
        "options": Check("other temperatures and reductions", options.check_options),
        "layers": Check("losses of several layers add up", layers.check_layers),
        "mask": Check("masked cells do not count", masks.check_masks),
        "garbage": Check("NaN and inf under the mask do not matter", masks.check_garbage),
        "padding": Check("padding changes nothing", masks.check_padding),
        "inputs": Check("arguments are left as they were", state.check_inputs),
        "repeat": Check("the same call gives the same result", state.check_repeated),
        "samples": Check("no sample changes what another gives", samples.check_samples),
        "infinite": Check("infinite divergences", values.check_infinite),
        "drawn": Check("inputs drawn by Hypothesis", drawn.check_drawn),
        "float32": Check("single precision", precision.check_float32),
        "bfloat16": Check("bfloat16", precision.check_bfloat16),
        "float16": Check("half precision", precision.check_float16),
    }
)
"""Every check by its short name."""

__all__ = ["CHECKS", "Check", "CheckResult"]
