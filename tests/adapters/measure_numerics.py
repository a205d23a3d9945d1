"""Measures the errors that docs/numerics.md states: ``python -m tests.adapters.measure_numerics``.

For each adapter and dtype the largest relative error of value and gradient at temperature 1, over
the maps that the tests draw and over long rows; the last column is the bound that the tests assert.
"""

import argparse

import numpy as np
from hypothesis import HealthCheck, given, seed, settings

from amad_core.conformance.strategies import AmadInputs
from tests.adapters.test_value_and_gradient import nasty
from tests.support.adapter_calls import ACCUMULATION, Errors, bound, call, cancellation, errors
from tests.support.variants import ALL, arguments


def of_drawn_maps(adapter: str, dtype: str, variant: str, examples: int) -> Errors:
    """The largest errors over drawn maps: masks, exact zeros, one-hot rows, extreme scales."""
    worst = [0.0, 0.0]

    @seed(0)
    @settings(
        max_examples=examples,
        database=None,
        deadline=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(inputs=nasty(dtype))
    def look(inputs: AmadInputs) -> None:
        options = {**inputs._asdict(), **arguments(variant, inputs.student)}
        found = errors(call(adapter, dtype, **options), dtype=dtype, **options)
        magnified = cancellation(**options)
        worst[:] = (max(old, new / magnified) for old, new in zip(worst, found, strict=True))

    look()
    return Errors(*worst)


def of_long_rows(adapter: str, dtype: str, variant: str) -> Errors:
    """Half a million cells a head: rows of 4096 keys, as a softmax of normal logits makes them."""
    logits = np.random.default_rng(1).standard_normal((1, 3, 128, 4096)) * 2
    maps = np.exp(logits) / np.exp(logits).sum(axis=-1, keepdims=True)
    options = {"teacher": maps[:, :1], "student": maps[:, 1:], "variant": variant}
    return errors(call(adapter, dtype, **options), dtype=dtype, **options)


def report(adapters: list[str], examples: int) -> None:
    """A Markdown table of the largest error of any variant."""
    print(
        "| adapter | inputs | value | gradient | value, 4096 keys | gradient, 4096 keys | bound |"
    )
    print("|---|---|---|---|---|---|---|")
    for adapter in adapters:
        for dtype in ACCUMULATION:
            drawn = [of_drawn_maps(adapter, dtype, variant, examples) for variant in ALL]
            long = [
                of_long_rows(adapter, dtype, variant) for variant in ALL if variant != "projected"
            ]
            worst = [
                max(getattr(found, name) for found in group)
                for group in (drawn, long)
                for name in Errors._fields
            ]
            cells = " | ".join(f"{error:.1e}" for error in worst)
            allowed = " / ".join(f"{error:.1e}" for error in bound(dtype))
            print(f"| {adapter} | {dtype} | {cells} | {allowed} |", flush=True)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--adapters", nargs="+", default=["torch", "tensorflow"])
    parser.add_argument("--examples", type=int, default=200, help="drawn maps for each variant")
    given_arguments = parser.parse_args()
    report(given_arguments.adapters, given_arguments.examples)
