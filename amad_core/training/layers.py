"""Layers: which teacher layer teaches which student layer where the depths differ.

Standard library only, so that the specification and its adapters share one layer map.
"""

from collections.abc import Collection, Iterator, Sequence
from contextlib import contextmanager
from typing import Any, NamedTuple, TypeAlias

from amad_core.arguments.words import check_choice, integer

LAYER_MAPS = ("uniform", "last", "first")
"""Layer maps by name; any other one is a list of pairs."""


class LayerPair(NamedTuple):
    """Positions, from 0, in the sequences of the teacher's and the student's maps."""

    teacher: int
    student: int


Layers: TypeAlias = str | Sequence[tuple[int, int]]


def layer_pairs(
    layers: Layers = "uniform", *, teacher_layers: int, student_layers: int
) -> list[LayerPair]:
    """The pairs of layers that are compared, by the student's layer for a map by name.

    With layers counted from 1, ``T`` teacher and ``S`` student layers:

    - ``uniform``: student layer ``s`` learns from teacher layer ``⌈s T / S⌉``: every ``T/S``-th
      layer where ``S`` divides ``T``, as TinyBERT's uniform strategy; always the last from the
      last. Of a deeper student several layers learn from one teacher layer [D22].
    - ``last``: the last ``min(T, S)`` layers of both, in order (TinyBERT's top strategy).
    - ``first``: the first ``min(T, S)`` layers of both, in order (TinyBERT's bottom strategy).
    - pairs ``(teacher layer, student layer)``, counted from 0, negative from the end as in Python:
      ``[(-1, -1)]`` compares the last layers only.

    A layer may be in several pairs; the same pair twice is an error.

    Args:
        layers: ``"uniform"``, ``"last"``, ``"first"``, or a sequence of pairs.
        teacher_layers, student_layers: how many layers there are, at least 1.

    Returns:
        Pairs ``(teacher, student)`` counted from 0; explicit pairs in the order given.

    Raises:
        TypeError: layers that are neither a name nor pairs of integers.
        ValueError: an unknown name, no pair, a layer out of range, the same pair twice.

    Source: the strategies, Jiao et al., "TinyBERT", Findings of EMNLP 2020 (mapping functions).

    Examples:
        >>> [tuple(pair) for pair in layer_pairs("uniform", teacher_layers=12, student_layers=4)]
        [(2, 0), (5, 1), (8, 2), (11, 3)]
    """
    teacher_layers = _layer_count("teacher_layers", teacher_layers)
    student_layers = _layer_count("student_layers", student_layers)
    shared = min(teacher_layers, student_layers)
    if not isinstance(layers, str):
        return _explicit_pairs(layers, teacher_layers, student_layers)
    check_choice("layers", layers, LAYER_MAPS)
    if layers == "first":
        return [LayerPair(layer, layer) for layer in range(shared)]
    if layers == "last":
        return [
            LayerPair(teacher_layers - back, student_layers - back) for back in range(shared, 0, -1)
        ]
    return [
        LayerPair(-(-(layer + 1) * teacher_layers // student_layers) - 1, layer)
        for layer in range(student_layers)
    ]


def paired_layers(teacher: object, student: object, layers: Layers) -> list[LayerPair]:
    """The pairs of ``layer_pairs`` for lists or tuples of maps, one a layer, with a map at each.

    A model that computes no maps hands out ``None`` or an empty tuple, and a sum over its layers is
    0: distillation that is silently switched off. A layer in no pair needs no map.
    """
    both = {"teacher": _layer_maps("teacher", teacher), "student": _layer_maps("student", student)}
    lengths = {f"{argument}_layers": len(maps) for argument, maps in both.items()}
    pairs = layer_pairs(layers, **lengths)
    for argument, maps in both.items():
        _check_present(argument, maps, {getattr(pair, argument) for pair in pairs})
    return pairs


_NO_MAPS = (
    'in Hugging Face Transformers load the model with attn_implementation="eager" ("sdpa" and '
    "flash attention return none) and call it with output_attentions=True, in Keras call the layer "
    "with return_attention_scores=True"
)


def _layer_maps(argument: str, maps: object) -> Sequence[object]:
    if maps is None:
        raise ValueError(
            f"{argument} must be a sequence of maps, one a layer; got None: the model returned no "
            f"attention maps; {_NO_MAPS}"
        )
    if not isinstance(maps, (list, tuple)):
        raise TypeError(
            f"{argument} must be a list or tuple of maps, one a layer; got {type(maps).__name__}"
        )
    if not maps:
        raise ValueError(
            f"{argument} must hold a map for every layer; got none at all: the model returned no "
            f"attention maps; {_NO_MAPS}"
        )
    return maps


def _check_present(argument: str, maps: Sequence[object], wanted: Collection[int]) -> None:
    there = [layer for layer, layer_maps in enumerate(maps) if not _is_missing(layer_maps)]
    missing = sorted(set(wanted) - set(there))
    if missing:
        raise ValueError(
            f"{argument} must hold a map at every layer that is compared; got none at "
            f"{_numbered(missing)} and maps at {_numbered(there) if there else 'no layer'}: a "
            "layer returns none if its attention implementation computes none, if it was not asked "
            f"to, or if it has no attention ({_NO_MAPS}); or name pairs of layers with maps, "
            "layers=[(teacher layer, student layer), ...]"
        )


def _is_missing(layer_maps: object) -> bool:
    return layer_maps is None or (isinstance(layer_maps, (list, tuple)) and not layer_maps)


def _numbered(layers: Sequence[int]) -> str:
    return f"layer{'s' * (len(layers) > 1)} {', '.join(map(str, layers))}"


def one_for_each_pair(argument: str, value: Any, pairs: Sequence[LayerPair]) -> list[Any]:
    """``value`` for every pair, or a list or tuple with one entry for each of them."""
    if not isinstance(value, (list, tuple)):
        return [value] * len(pairs)
    if len(value) != len(pairs):
        raise ValueError(
            f"{argument} must be one for all layer pairs or have one entry for each of the "
            f"{len(pairs)}; got {len(value)} entries"
        )
    return list(value)


@contextmanager
def naming_pair(pair: LayerPair) -> Iterator[None]:
    """Adds the layers to what is wrong with their maps."""
    try:
        yield
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(
            f"teacher layer {pair.teacher} with student layer {pair.student}: {error}"
        ) from error


def _explicit_pairs(
    layers: Sequence[tuple[int, int]], teacher_layers: int, student_layers: int
) -> list[LayerPair]:
    if not isinstance(layers, (list, tuple)):
        raise TypeError(
            f"layers must be one of {', '.join(map(repr, LAYER_MAPS))} or a list of pairs "
            f"(teacher layer, student layer); got {layers!r}"
        )
    if not layers:
        raise ValueError("layers must hold at least one pair (teacher layer, student layer)")
    pairs: list[LayerPair] = []
    for position, layer_pair in enumerate(layers):
        name = f"layers[{position}]"
        if not isinstance(layer_pair, (list, tuple)) or len(layer_pair) != 2:
            raise TypeError(f"{name} must be (teacher layer, student layer); got {layer_pair!r}")
        pair = LayerPair(
            _position(f"the teacher layer of {name}", layer_pair[0], teacher_layers),
            _position(f"the student layer of {name}", layer_pair[1], student_layers),
        )
        if pair in pairs:
            raise ValueError(
                f"{name} must be a pair of its own; got teacher layer {pair.teacher} with student "
                f"layer {pair.student} a second time"
            )
        pairs.append(pair)
    return pairs


def _position(argument: str, value: object, count: int) -> int:
    position = integer(argument, value)
    if not -count <= position < count:
        raise ValueError(f"{argument} must be from {-count} to {count - 1}; got {position}")
    return position % count


def _layer_count(argument: str, value: object) -> int:
    count = integer(argument, value)
    if count < 1:
        raise ValueError(f"{argument} must be at least 1; got {count}")
    return count
