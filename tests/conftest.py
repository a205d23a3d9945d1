"""How hard Hypothesis looks, quiet frameworks, and tests that leave nothing behind.

Run in parallel with ``pytest -n 2 --dist loadgroup``: the tests of one ``xdist_group`` share a
process, so that TensorFlow (10 s to import) is paid once. ``HYPOTHESIS_PROFILE=thorough`` looks
24 times as long as ``dev``; ``ci`` draws the same examples on every run. ``--whole`` runs every
case of the matrices that are marked ``thin``.
"""

import os
from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, Phase, settings

from tests.support.leftovers import Surroundings, left_behind, surroundings
from tests.support.thinning import thinned_out

# Before anybody imports a framework: no banners, and no threads and processes beyond the workers'.
os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "3")
os.environ.setdefault("KERAS_BACKEND", "tensorflow")
os.environ["OMP_NUM_THREADS"] = "1"  # whatever the user has: tiles and last digits depend on it
os.environ.setdefault("TORCHINDUCTOR_COMPILE_THREADS", "1")  # else compilers run on and on

_NO_LIMITS = {"deadline": None, "suppress_health_check": [HealthCheck.too_slow]}
settings.register_profile("dev", max_examples=50, **_NO_LIMITS)
settings.register_profile("ci", max_examples=50, derandomize=True, print_blob=True, **_NO_LIMITS)
settings.register_profile("thorough", max_examples=1200, **_NO_LIMITS)
settings.register_profile(
    "mutation",
    max_examples=12,
    derandomize=True,
    database=None,
    phases=[Phase.generate],
    **_NO_LIMITS,
)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "ci" if "CI" in os.environ else "dev"))


_BEFORE = pytest.StashKey[Surroundings]()


@pytest.hookimpl(wrapper=True)
def pytest_runtest_setup(item: pytest.Item) -> Iterator[None]:
    item.stash[_BEFORE] = surroundings()
    return (yield)


@pytest.hookimpl(wrapper=True)
def pytest_runtest_teardown(item: pytest.Item) -> Iterator[None]:
    """What a test starts it ends, and what it changes it puts back: so any order will do."""
    yield
    if left := left_behind(item.stash[_BEFORE], surroundings()):
        pytest.fail("left behind: " + "; ".join(left), pytrace=False)


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption(
        "--whole", action="store_true", help="run every case of the tests that are marked thin"
    )


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if not config.getoption("whole") and (left_out := thinned_out(items)):
        config.hook.pytest_deselected(items=left_out)
        items[:] = [item for item in items if item not in left_out]
    _skip_without_accelerator(items)


def _skip_without_accelerator(items: list[pytest.Item]) -> None:
    """Skip what is marked ``gpu`` where there is none; look for one only if such a test is here."""
    waiting = [item for item in items if item.get_closest_marker("gpu")]
    if waiting and not _accelerator():
        for item in waiting:
            item.add_marker(pytest.mark.skip(reason="no accelerator on this machine"))


def _accelerator() -> bool:
    try:
        import torch
    except ImportError:
        return False
    return torch.cuda.is_available()
