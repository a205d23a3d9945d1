"""The conformance kit: tells whether a port of the loss is right, and which mistake it makes.

Three doors: the command ``amad verify``, the functions below, and the Hypothesis strategies in
:mod:`amad_core.conformance.strategies`. Everything is imported when it is first used.
"""

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from amad_core.conformance.examination import check_port
    from amad_core.conformance.inputs.case import Case
    from amad_core.conformance.ports.answer import Answer
    from amad_core.conformance.ports.numpy_port import load_port
    from amad_core.conformance.pytest_support import parametrize_with_checks
    from amad_core.conformance.reports.report import Report

_MODULES = {
    "Answer": "ports.answer",
    "Case": "inputs.case",
    "Report": "reports.report",
    "check_port": "examination",
    "load_port": "ports.numpy_port",
    "parametrize_with_checks": "pytest_support",
}

__all__ = [
    "Answer",
    "Case",
    "Report",
    "check_port",
    "load_port",
    "parametrize_with_checks",
]


def __getattr__(name: str) -> Any:
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"{__name__}.{_MODULES[name]}"), name)


def __dir__() -> list[str]:
    return sorted(__all__)
