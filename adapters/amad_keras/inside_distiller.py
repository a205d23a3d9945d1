"""How attention gets out of the stock Distiller, which hands a loss nothing but outputs.

As long as an ``AttentionDistillation`` of some Distiller is alive, three methods of the class
``keras.distillation.Distiller`` watch what they run: ``call`` the student, ``compute_loss`` the
teacher, ``compile`` the weights. They do what they always do, and nothing besides for Distillers
without such a loss. The student's attention travels with the tensor that ``call`` returns, as masks
of Keras do, so that nothing else has to be kept.
"""

import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, NamedTuple

import keras

from amad_keras.backends import current_backend
from amad_keras.capture import capture_attention
from amad_keras.capture.tables import Table


class Step(NamedTuple):
    """A Distiller that computes its loss now, and what both its models attended to."""

    distiller: Any
    teacher: Any
    student: Any
    is_training: bool


class _Steps(threading.local):
    def __init__(self) -> None:
        self.all: list[Step] = []


_steps = _Steps()
_lock = threading.RLock()
_alive: set[int] = set()
_originals: dict[str, Any] = {}
_attention = Table()
"""What the student attended to, by the output of its Distiller, where that takes no attributes."""


def watch_distillers(loss: Any) -> None:
    """Distillers are watched until this loss is garbage."""
    with _lock:
        if id(loss) in _alive:
            return
        if not _alive:
            for name, watched in _WATCHED.items():
                original = _originals[name] = getattr(keras.distillation.Distiller, name)
                setattr(keras.distillation.Distiller, name, watched(original))
        _alive.add(id(loss))
        weakref.finalize(loss, _release, id(loss)).atexit = False


def _release(loss: int) -> None:
    with _lock:
        _alive.discard(loss)
        if not _alive:
            for name, original in _originals.items():
                setattr(keras.distillation.Distiller, name, original)
            _originals.clear()
            _attention.forget()


def current_step() -> Step | None:
    """The Distiller that computes its loss in this thread."""
    return _steps.all[-1] if _steps.all else None


@contextmanager
def _step(step: Step) -> Iterator[None]:
    _steps.all.append(step)
    try:
        yield
    finally:
        _steps.all.pop()


def _attach(attention: Any, output: Any) -> None:
    try:
        output._amad_attention = attention
    except AttributeError:  # what JAX traces, and what keeps its trace alive: the last one only
        _attention.forget()
        _attention[output] = attention


def _attached(output: Any) -> Any:
    return getattr(output, "_amad_attention", None) or _attention.take(output)


def _watched_call(call: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(call)
    def watched(distiller: Any, inputs: Any, training: Any = None, **options: Any) -> Any:
        if not _ours(distiller):
            return call(distiller, inputs, training=training, **options)
        with capture_attention(distiller.student) as attention:
            outputs = call(distiller, inputs, training=training, **options)
        _attach(attention, keras.tree.flatten(outputs)[0])
        _make_learned(distiller, inputs, attention)
        return outputs

    return watched


def _watched_compute_loss(compute_loss: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(compute_loss)
    def watched(
        distiller: Any,
        x: Any = None,
        y: Any = None,
        y_pred: Any = None,
        sample_weight: Any = None,
        training: bool = True,
    ) -> Any:
        if not _ours(distiller):
            return compute_loss(distiller, x, y, y_pred, sample_weight, training=training)
        _check(distiller)
        if y_pred is None:
            y_pred = distiller(x, training=training)
        student = _attached(keras.tree.flatten(y_pred)[0])
        if student is None:
            raise ValueError(
                "y_pred must be what this Distiller returned, distiller(x, training=...), with "
                "which the student's attention comes; got other tensors"
            )
        with capture_attention(distiller.teacher) as teacher:  # noqa: SIM117
            with _step(Step(distiller, teacher, student, training)):
                loss = compute_loss(distiller, x, y, y_pred, sample_weight, training=training)
        _freeze(distiller.teacher)
        return loss

    return watched


def _watched_compile(compile_distiller: Callable[..., Any]) -> Callable[..., Any]:
    @wraps(compile_distiller)
    def watched(distiller: Any, *args: Any, **options: Any) -> Any:
        compiled = compile_distiller(distiller, *args, **options)
        if _ours(distiller):
            _check(distiller)
        return compiled

    return watched


def _make_learned(distiller: Any, inputs: Any, student: Any) -> None:
    """Parameters of losses that have none yet: a step's gradients are of those that are there."""
    unbuilt = [loss for loss in _ours(distiller) if not loss.built]
    if unbuilt:
        with capture_attention(distiller.teacher) as teacher:
            distiller.teacher(inputs, training=False)
        _freeze(distiller.teacher)
        for loss in unbuilt:
            loss.make_learned(list(teacher.values()), list(student.values()))


def _freeze(teacher: Any) -> None:
    """Weights that were made after the Distiller froze its teacher are frozen too.

    One by one: on TensorFlow, Keras takes ``trainable = False`` for done where it is false already.
    """
    if not teacher.trainable:
        for weight in teacher.weights:
            weight.trainable = False


_WATCHED = {
    "call": _watched_call,
    "compute_loss": _watched_compute_loss,
    "compile": _watched_compile,
}


def _ours(distiller: Any) -> list[Any]:
    return [loss for loss in distiller.distillation_losses if id(loss) in _alive]


def _check(distiller: Any) -> None:
    current_backend().check_compiled(distiller)
    if distiller.student_loss_weight >= 1:
        raise ValueError(
            f"student_loss_weight must be below 1; got {distiller.student_loss_weight!r}, with "
            "which keras.distillation.Distiller computes no distillation loss at all: its total is "
            "student_loss_weight * student loss + (1 - student_loss_weight) * distillation losses"
        )
    names = [loss.name for loss in _ours(distiller)]
    for name in names:
        if names.count(name) > 1:
            raise ValueError(
                f"each AttentionDistillation of a Distiller needs a name of its own, for its "
                f"metric; got {name!r} twice"
            )
