"""What the tests of the study need, and what they look at scenes with."""

import pytest

for module in ("sklearn", "sacrebleu", "easy_vqa", "pydantic", "PIL"):
    pytest.importorskip(module)
