"""Parameters of a loss itself, which are trained along with the student: some for each pair."""

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from keras import ops

from amad_core.arguments.maps import check_cells
from amad_keras.matching import Pair

Shapes = tuple[tuple[int, ...], tuple[int, ...]]


def keys_of_pairs(pairs: Sequence[Pair]) -> list[str]:
    """A name of each pair; one that comes again, as layers may run twice, is counted."""
    seen: Counter[str] = Counter()
    keys = []
    for pair in pairs:
        seen[pair.name] += 1
        count = seen[pair.name]
        keys.append(pair.name if count == 1 else f"{pair.name}#{count}")
    return keys


def learned_shapes(method: str, pair: Pair) -> Shapes:
    """Of ``weight`` and ``bias``.

    Raises:
        ValueError: they follow from lengths or heads that a graph does not know; too many cells.
    """
    _, heads, queries, keys = pair.student.shape
    teacher_heads = pair.teacher.shape[1]
    if method == "amad_projected":
        if queries is None or keys is None:
            raise ValueError(
                f"{pair.name}: 'amad_projected' has a weight for each two cells of a map, so that "
                "all maps must be of one known length; got lengths that change: pad all texts to "
                "one length, and give it to keras.Input"
            )
        cells = queries * keys
        check_cells("projected", cells)
        return (cells, cells), (cells,)
    if heads is None or teacher_heads is None:
        raise ValueError(f"{pair.name}: {method!r} needs numbers of heads that are known")
    return (teacher_heads, heads), (teacher_heads,)


def add_learned(loss: Any, method: str, key: str, shapes: Shapes) -> None:
    """``amad_projected`` begins with the identity, ``align_to_distill`` as a new layer of Keras."""
    start = "identity" if method == "amad_projected" else "glorot_uniform"
    # On PyTorch, Keras finds the parameters whose gradients it clears by their names.
    place = len(loss.learned)
    loss.learned[key] = [
        loss.add_weight(name=f"{name}_{place}", shape=shape, initializer=made, autocast=False)
        for name, shape, made in zip(("weight", "bias"), shapes, (start, "zeros"), strict=True)
    ]


def learned_of(loss: Any, pair: Pair, key: str) -> Mapping[str, Any]:
    """The parameters of a pair, by the names of the method's arguments.

    Raises:
        ValueError: it has none, or for maps of another size.
    """
    if key not in loss.learned:
        raise ValueError(
            f"{loss.method!r} has no parameters for this pair, but for "
            f"{', '.join(map(repr, loss.learned)) or 'none'}: a loss belongs to one pair of models"
        )
    weight, bias = loss.learned[key]
    needed = learned_shapes(loss.method, pair)
    if tuple(weight.shape) != needed[0]:
        raise ValueError(
            f"{loss.method!r} has a weight of shape {list(weight.shape)} for this pair, and now "
            f"needs {list(needed[0])}: maps must keep their size, so pad all batches to one length"
        )
    return {"weight": ops.convert_to_tensor(weight), "bias": ops.convert_to_tensor(bias)}
