"""Run in a process of its own: a Python port answers golden vectors, into a results file.

    python answer_vectors.py MODULE FRAMEWORK RESULTS [DESIGN ...]

With designs, the cases of other designs are skipped.
"""

import importlib
import json
import sys
import warnings
from pathlib import Path
from typing import Any

from amad_core import VARIANTS
from amad_core.conformance.ports.call_style import CallStyle
from amad_core.conformance.ports.frameworks import load_framework
from amad_core.conformance.ports.opening import open_port, plainest_case
from amad_core.conformance.vectors.documents import as_json
from amad_core.conformance.vectors.files import shipped_vectors

EXAMPLES = Path(__file__).resolve().parents[2] / "examples"


def main(module: str, framework: str, results: str, *designs: str) -> None:
    warnings.filterwarnings("ignore", "You are using a softmax over axis", UserWarning)
    sys.path.insert(0, str(EXAMPLES))
    load_framework(framework).prepare()
    loss = importlib.import_module(module).amad_loss
    port = open_port(loss, framework=framework, call_style=CallStyle(), probe=plainest_case())
    entries: dict[str, Any] = {}
    dtypes = set()
    for variant in VARIANTS:
        for case_id, case in shipped_vectors(variant).cases.items():
            if designs and case.name not in designs:
                entries[case_id] = {"skipped": "not asked in this test"}
                continue
            answer = port.answer(case, "float64", True)
            dtypes.add(answer.dtype)
            if answer.trouble is not None:
                entries[case_id] = {"error": answer.trouble.message}
                continue
            entries[case_id] = {
                name: as_json(array)
                for name in ("value", "grad_student", "grad_teacher")
                if (array := getattr(answer, name)) is not None
            }
    document = {
        "format": "amad-results/1",
        "port": f"{module} on {framework}",
        "dtype": "float32" if "float32" in dtypes else "float64",
        "results": entries,
    }
    Path(results).write_text(json.dumps(document))


if __name__ == "__main__":
    main(*sys.argv[1:])
