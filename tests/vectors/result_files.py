"""Results files as a port would write them."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

from amad_core.conformance.inputs.case import Case
from amad_core.conformance.ports.answer import Answer
from amad_core.conformance.vectors.documents import as_json
from amad_core.conformance.vectors.files import Golden

Document = dict[str, Any]


def results_document(
    golden: Golden, answer: Callable[[Case], Answer], *, gradients: bool = True
) -> Document:
    """Every case answered."""
    return {
        "format": "amad-results/1",
        "port": "a port under test",
        "checksums": {golden.variant: golden.checksum},
        "results": {
            case_id: _entry(answer(case), gradients) for case_id, case in golden.cases.items()
        },
    }


def written(document: Any, path: Path) -> Path:
    """The document in a file; text and bytes as they are."""
    if isinstance(document, bytes):
        path.write_bytes(document)
    else:
        path.write_text(document if isinstance(document, str) else json.dumps(document))
    return path


def _entry(answer: Answer, gradients: bool) -> Document:
    assert answer.value is not None
    entry: Document = {"value": as_json(answer.value)}
    if gradients and answer.grad_student is not None:
        entry["grad_student"] = as_json(answer.grad_student)
    if gradients and answer.grad_teacher is not None:
        entry["grad_teacher"] = as_json(answer.grad_teacher)
    return entry
