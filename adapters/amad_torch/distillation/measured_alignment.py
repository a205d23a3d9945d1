"""Which student heads each teacher head is explained by, measured."""

from collections.abc import Callable, Iterable, Mapping
from typing import Any

import torch
from torch import Tensor

from amad_torch.distillation.distiller import Distiller
from amad_torch.distillation.match import MatchedLayers
from amad_torch.models import as_it_was


def measure_alignment(
    distiller: Distiller, batches: Iterable[Mapping[str, Any]]
) -> dict[str, list[list[float]]]:
    """The alignment weights of a distiller's layers, mean over all samples of some batches.

    Args:
        distiller: its student is run in eval mode, and put back as it was.
        batches: dictionaries, as the distiller is called with.

    Returns:
        By layer (``"student path <- teacher path"``) the weights ``[Ht][Hs]`` of eq. 2.

    Raises:
        ValueError: no batch, or no layer that is compared by AMAD with weights for a whole map.

    Example:
        >>> from transformers import BertConfig, BertModel
        >>> sizes = dict(hidden_size=24, num_hidden_layers=1, vocab_size=50)
        >>> teacher, student = (
        ...     BertModel(BertConfig(num_attention_heads=heads, **sizes)) for heads in (6, 4)
        ... )
        >>> distiller = Distiller(teacher=teacher, student=student)
        >>> weights = measure_alignment(distiller, [{"input_ids": torch.randint(50, (3, 7))}])
        >>> {name: (len(rows), len(rows[0])) for name, rows in weights.items()}
        {'encoder.layer.0.attention.self <- encoder.layer.0.attention.self': (6, 4)}
    """
    seen: dict[str, list[Tensor]] = {}

    def watch(matched: MatchedLayers, alignment: Callable[[], Tensor]) -> None:
        seen.setdefault(matched.name, []).append(alignment().cpu())

    distiller.watchers.append(watch)
    try:
        with as_it_was(distiller), torch.no_grad():
            for batch in batches:
                distiller.distil(**batch)
    finally:
        distiller.watchers.remove(watch)
    if not seen:
        raise ValueError(
            "there are no alignment weights: batches must hold at least one batch, and the method "
            f"must be AMAD's, other than amad_token; got {distiller.method!r}"
        )
    return {name: torch.cat(found).mean(dim=0).tolist() for name, found in seen.items()}
