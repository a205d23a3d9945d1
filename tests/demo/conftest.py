"""What the tests of the demo need."""

import pytest

for module in ("torch", "transformers", "sklearn", "matplotlib", "rich", "typer"):
    pytest.importorskip(module)
