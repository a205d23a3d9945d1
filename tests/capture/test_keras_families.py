"""What is captured of every Keras family is what NumPy says that the model attends to.

On Keras's backend: TensorFlow here, the others in processes of their own (``tests/backends``).
"""

import contextlib
from typing import Any

import keras
import numpy as np
import pytest

BACKEND = keras.config.backend()
pytest.importorskip(BACKEND)
pytest.importorskip("keras_hub")
pytestmark = pytest.mark.xdist_group(BACKEND)

from tests.capture.keras_comparison import (  # noqa: E402
    WITHIN,
    built,
    check_maps,
    training_step,
)
from tests.capture.keras_families import FAMILIES  # noqa: E402
from tests.capture.keras_table import PAGE, page_with_table  # noqa: E402

THERE = [name for name in FAMILIES if BACKEND == "tensorflow" or "TensorFlow" not in name]
NTH = {"tensorflow": 2, "torch": 6, "jax": 50}[BACKEND]  # JAX compiles every model anew


def no_gradients() -> Any:
    if BACKEND != "torch":
        return contextlib.nullcontext()
    import torch

    return torch.no_grad()


@pytest.mark.parametrize("name", THERE)
@pytest.mark.thin(NTH)
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_maps_are_what_the_model_attends_to(name: str) -> None:
    with no_gradients():
        check_maps(name)


TRAINED = [
    "MultiHeadAttention, dropout, Keras mask", "KerasHub BERT", "KerasHub T5", "KerasHub Swin",
    "KerasHub Llama", "KerasHub Gemma 2", "KerasHub GPT-OSS",
    "by hand: subclassed, alibi, cross", "by hand: TensorFlow, talking heads",
]  # fmt: skip
"""With dropout, with masks, fused, grouped, capped, with sinks, in plain TensorFlow."""


@pytest.mark.thin(NTH)
@pytest.mark.parametrize("name", [name for name in TRAINED if name in THERE])
@pytest.mark.filterwarnings("ignore:You are using a softmax over axis")
@pytest.mark.filterwarnings("ignore:Layer .* was passed an input with a mask")
def test_in_training_maps_have_gradients_and_no_dropout(name: str) -> None:
    step = training_step(*built(name))
    assert step.kinds == FAMILIES[name].kinds
    for one, other in zip(step.maps, step.recomputed, strict=True):
        sees = other.sum(-1, keepdims=True) > 0
        np.testing.assert_allclose(one * sees, other, rtol=0, atol=WITHIN)
        if name != "KerasHub GPT-OSS":  # whose sinks take a share
            np.testing.assert_allclose((one * sees).sum(-1), sees[..., 0], atol=1e-5)
    assert all(np.isfinite(one).all() for one in step.gradients)
    assert any(one.any() for one in step.gradients)


def test_the_page_lists_every_family() -> None:
    page = PAGE.read_text(encoding="utf-8")
    assert page_with_table(page) == page, "run python -m tests.capture.keras_table"
    assert len(FAMILIES) >= 16
