"""Both adapters' peers as functions of NumPy arrays: value and gradients, in any dtype."""

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
import pytest
from peer_cases import PeerCase

from amad_core.attention.inputs import FloatArray
from amad_core.peers import METHODS

ADAPTERS = [
    "torch",
    pytest.param("tensorflow", marks=pytest.mark.xdist_group("tensorflow")),
]
Result = tuple[FloatArray, Mapping[str, FloatArray]]


def call(
    adapter: str, case: PeerCase, dtype: str, wrap: Callable[..., Any] | None = None
) -> Result:
    """Unreduced losses, and the gradients of their sum by the student and what is learned.

    ``wrap`` compiles the loss, a function of tensors by keyword.
    """
    pytest.importorskip(adapter)
    arrays = {key: value for key, value in case.arguments().items() if _is_array(value)}
    settings = {key: value for key, value in case.arguments().items() if key not in arrays}
    trained = ("student", *METHODS[case.name].learned)
    run = _torch if adapter == "torch" else _tensorflow
    return run(arrays, {**settings, "reduction": "none"}, trained, dtype, wrap)


def rounded(case: PeerCase, dtype: str) -> PeerCase:
    """The case as an adapter gets it: every number rounded to ``dtype``, as float64."""
    if dtype == "bfloat16":
        from ml_dtypes import bfloat16 as kind
    else:
        kind = np.dtype(dtype)

    def once(value: Any) -> Any:
        if not _is_array(value) or value.dtype == bool:
            return value
        with np.errstate(over="ignore"):
            return value.astype(kind).astype(np.float64)

    options = {key: once(value) for key, value in case.options.items()}
    return case._replace(teacher=once(case.teacher), student=once(case.student), options=options)


def _torch(
    arrays: dict[str, Any],
    settings: dict[str, Any],
    trained: tuple[str, ...],
    dtype: str,
    wrap: Callable[..., Any] | None,
) -> Result:
    import torch

    from amad_torch.peers import distillation_loss

    def loss(**tensors: Any) -> Any:
        return distillation_loss(**settings, **tensors)

    tensors = {
        key: torch.tensor(value) if value.dtype == bool else torch.tensor(value).to(
            getattr(torch, dtype)) for key, value in arrays.items()
    }  # fmt: skip
    for key in ("teacher", *trained):
        tensors[key].requires_grad_()
    losses = (wrap(loss) if wrap else loss)(**tensors)
    losses.sum().backward()
    assert tensors["teacher"].grad is None
    assert all(tensors[key].grad.dtype == tensors[key].dtype for key in trained)
    gradients = {key: tensors[key].grad.double().numpy() for key in trained}
    assert str(losses.dtype) == f"torch.{_accumulated(dtype)}"
    return losses.detach().double().numpy(), gradients


def _tensorflow(
    arrays: dict[str, Any],
    settings: dict[str, Any],
    trained: tuple[str, ...],
    dtype: str,
    wrap: Callable[..., Any] | None,
) -> Result:
    import tensorflow as tf

    from amad_tensorflow.peers import distillation_loss

    tensors = {
        key: tf.constant(value) if value.dtype == bool else tf.cast(tf.constant(value), dtype)
        for key, value in arrays.items()
    }

    def losses_and_gradients(**tensors: Any) -> Any:
        watched = [tensors[key] for key in ("teacher", *trained)]
        with tf.GradientTape() as tape:
            tape.watch(watched)
            losses = distillation_loss(**settings, **tensors)
        first, *rest = tape.gradient(losses, watched)
        assert first is None
        return losses, rest

    run = wrap(losses_and_gradients) if wrap else losses_and_gradients
    losses, gradients = run(**tensors)
    assert losses.dtype.name == _accumulated(dtype)
    assert all(gradient.dtype.name == dtype for gradient in gradients)
    plain = [tf.cast(gradient, tf.float64).numpy() for gradient in gradients]
    return tf.cast(losses, tf.float64).numpy(), dict(zip(trained, plain, strict=True))


def _accumulated(dtype: str) -> str:
    return "float64" if dtype == "float64" else "float32"


def _is_array(value: Any) -> bool:
    return isinstance(value, np.ndarray)
