"""One export for all tests of a process: it takes seconds."""

import atexit
import shutil
import tempfile
from functools import lru_cache
from pathlib import Path

from amad_core.conformance.vectors.export import export_vectors


@lru_cache
def exported_directory() -> Path:
    """What ``amad vectors export`` writes by default; not to be changed."""
    directory = Path(tempfile.mkdtemp(prefix="amad-vectors-"))
    atexit.register(shutil.rmtree, directory, ignore_errors=True)
    export_vectors(directory)
    return directory
