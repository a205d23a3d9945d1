"""The capture itself: what every layer of a model attends to, for as long as a block runs."""

import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from functools import partial
from typing import Any

import keras

from amad_keras.capture.arrangement import OF_FEATURES, UnclearError, arranged
from amad_keras.capture.captured import CapturedAttention
from amad_keras.capture.following import Following
from amad_keras.capture.layer_attention import LayerAttention
from amad_keras.capture.operation import Operation
from amad_keras.capture.origins import kind_of, named_kind
from amad_keras.capture.probabilities import Probabilities
from amad_keras.capture.sources import current_source


@contextmanager
def capture_attention(
    model: keras.layers.Layer, *, layers: Sequence[str] | None = None
) -> Iterator[CapturedAttention]:
    """What every layer of a model attends to, while the model runs as it always does.

    The model keeps its attention implementation, and its output is what it was. What is captured
    is free of dropout, in training too, and gradients flow through it as through the model. Open
    the block where the model runs: inside the ``tf.function`` or the function that JAX traces, or
    eagerly around an eager call.

    Args:
        model: any Keras model or layer: functional, sequential, subclassed, of KerasHub.
        layers: paths of layers, as globs (``["*/block_3/*"]``), or paths below which all counts;
            ``None``: all layers.

    Yields:
        A mapping from a layer's path to :class:`LayerAttention`, in the order of the calls; a
        second attention under the same path is ``"path#2"``. It fills while the block runs and
        stays readable after.

    Raises:
        TypeError: ``model`` is no Keras layer.
        RuntimeError: Keras runs on a backend that is not watched; at the end of the block: nothing
            was captured, a layer asked for never attended, a layer attended in another graph than
            the block's, or under rematerialization, which cuts its gradient off.

    Examples:
        >>> layer = keras.layers.MultiHeadAttention(num_heads=2, key_dim=4)
        >>> tokens = keras.random.normal((3, 5, 8))
        >>> with capture_attention(layer) as attention:
        ...     _ = layer(tokens, tokens)
        >>> attention[""].shape, attention[""].kind
        ((3, 2, 5, 5), 'self')
    """
    if not isinstance(model, keras.layers.Layer):
        raise TypeError(f"model must be a keras.Model or a layer; got {type(model).__name__}")
    capture = _Capture(model, layers)
    with current_source().operations_watched(capture.watch):
        yield capture.captured
    capture.check()


class _Capture:
    def __init__(self, model: keras.layers.Layer, wanted: Sequence[str] | None) -> None:
        self._model = model
        self._wanted = None if wanted is None else list(wanted)
        self._source = current_source()
        self._graph = self._source.current_graph()
        self._following = Following(self._add, self._refuse)
        self._now: Any = None
        self._seen: dict[str, None] = {}
        self._elsewhere: dict[str, None] = {}
        self._unclear: dict[str, str] = {}
        self._cut: list[str] = []
        self.captured = CapturedAttention()

    def watch(self, operation: Operation) -> None:
        """One operation has run."""
        self._now = operation.graph
        self._following(operation)

    def check(self) -> None:
        """Silence is impossible."""
        if self._cut and self._model.trainable_variables:
            raise RuntimeError(
                f"the attention of {', '.join(map(repr, self._cut[:4]))} has no gradient though "
                "the model is being trained: rematerialization (keras.RematScope, "
                "tf.recompute_grad) runs it without one; leave these layers out of it"
            )
        paths = {layer.path for layer in self.captured.values()}
        elsewhere = [path for path in self._elsewhere if path not in paths]
        if elsewhere:
            raise RuntimeError(
                f"the attention of {', '.join(map(repr, elsewhere[:4]))} is in another graph than "
                f"this block: {self._source.ELSEWHERE}; open capture_attention inside that "
                "function, where the model is called"
            )
        for path, reason in self._unclear.items():
            unclear = f"attention of {path!r} was not captured: {reason}"
            if not self.captured:
                raise RuntimeError(unclear)
            warnings.warn(unclear, stacklevel=4)
        if not self.captured and self._wanted is None:
            raise RuntimeError(
                "no attention was captured: did the block run this model (not a copy of it, not in "
                "another thread, not in a function that was traced before)? If it did, it attends "
                f"in a way that cannot be seen: without a softmax ({self._source.SOFTMAX}) over "
                "one axis, that of the keys, whose result meets a product with the values"
            )
        unmet = dict.fromkeys(map(self._path, self._following.unmet.layers))
        names = [repr(path) for path in unmet if path is not None and self._is_wanted(path)]
        if names:
            warnings.warn(
                f"attention of {', '.join(names[:4])} was not captured, only that of other "
                "layers or calls: queries and keys were multiplied, but no softmax "
                f"({self._source.SOFTMAX}) over the keys was seen whose result met values",
                stacklevel=4,
            )
        for pattern in self._wanted or ():
            if not any(CapturedAttention.matches(path, pattern) for path in paths):
                raise RuntimeError(
                    f"no attention was captured of layers={pattern!r}: no layer at such a path "
                    "attended to anything while the block ran; those that did are "
                    f"{', '.join(map(repr, self._seen)) or 'none'}"
                )

    def _add(self, probabilities: Probabilities, layers: tuple[Any, ...]) -> None:
        traced = probabilities.traced
        ran_in = layers if traced is None else traced.layers
        path = self._path(ran_in)
        if path is None:
            return
        self._seen[path] = None
        if not self._is_wanted(path):
            return
        if self._now != self._graph:
            self._elsewhere[path] = None
            return
        if self._source.cuts_gradients():
            self._cut.append(path)
        maps = probabilities.maps
        if maps is not None:
            try:
                maps = arranged(probabilities, ran_in[-1].caller)
            except UnclearError as unclear:
                self._unclear[path] = str(unclear)
                return
        if traced is None:
            kind = named_kind(path)
        else:
            kind = kind_of(traced.queries, traced.keys, ran_in, path)
        scores = None if traced is None else traced.scores
        read = None if scores is None else partial(scores.read, maps)
        run, name = 1, path
        while name in self.captured._layers:
            run += 1
            name = f"{path}#{run}"
        probabilities.captured_as = name
        is_known = traced is None or not traced.is_heads_first
        self.captured._layers[name] = LayerAttention(
            path,
            kind,
            maps,
            read,
            values=probabilities.values if is_known else None,
            projections=probabilities.weights if is_known else (),
        )

    def _refuse(self, probabilities: Probabilities, layers: tuple[Any, ...]) -> None:
        """It turns out that these are no maps."""
        path = self._path(layers)
        if path is not None and self._is_wanted(path):
            self._unclear[path] = OF_FEATURES
            if probabilities.captured_as is not None:
                del self.captured._layers[probabilities.captured_as]

    def _is_wanted(self, path: str) -> bool:
        return self._wanted is None or any(
            CapturedAttention.matches(path, one) for one in self._wanted
        )

    def _path(self, layers: tuple[Any, ...]) -> str | None:
        """Names of the running layers below the model; none where another model runs."""
        inside = {id(self._model), *map(id, self._model._flatten_layers())}
        callers = [one.caller for one in layers]
        first = next((place for place, one in enumerate(callers) if id(one) in inside), None)
        if first is None:
            return None
        return "/".join(one.name for one in callers[first:] if one is not self._model)
