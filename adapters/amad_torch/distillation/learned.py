"""Parameters of the losses themselves, to be trained along with the student: some for each pair."""

from collections import Counter
from collections.abc import Sequence

from torch import nn

from amad_torch.distillation.lengths import Lengths
from amad_torch.distillation.match import MatchedLayers
from amad_torch.distillation.measurements import AnyDistiller
from amad_torch.distillation.methods import Method, name_of, row_of
from amad_torch.distillation.shares import is_shared, shares_gradients
from amad_torch.module import AMADProjection

GIVE_AN_EXAMPLE = (
    "its parameters follow from what the models attend to, and must be there before an optimizer "
    "is: make the Distiller with example=batch, one batch as it is called with"
)
"""What to do where parameters are missing."""


def method_of(distiller: AnyDistiller, matched: MatchedLayers) -> Method:
    """By which the layers are compared."""
    method: Method = matched.match.method or distiller.method
    return method


def learned_methods(distiller: AnyDistiller) -> list[str]:
    """The methods with parameters of their own that the distiller compares layers by."""
    if not distiller.attention_weight:
        return []
    methods = {match.method or distiller.method for match in distiller.matches if match.weight}
    return sorted(name_of(method) for method in methods if row_of(method).learned)


def keys_of_pairs(pairs: Sequence[MatchedLayers]) -> list[str]:
    """A name of each pair that a module may have; a pair that comes again is counted."""
    seen: Counter[str] = Counter()
    keys = []
    for pair in pairs:
        key = pair.name.replace(" <- ", "<-").replace(".", "/")
        seen[key] += 1
        keys.append(key if seen[key] == 1 else f"{key}#{seen[key]}")
    return keys


def learned_for(distiller: AnyDistiller, pairs: Sequence[MatchedLayers]) -> nn.ModuleDict:
    """The parameters of every pair whose method has any; those that the distiller has, as they are.

    ``amad_projected`` begins with the identity; ``align_to_distill`` as a new convolution does.
    """
    made = nn.ModuleDict()
    for pair, key in zip(pairs, keys_of_pairs(pairs), strict=True):
        method = method_of(distiller, pair)
        if not pair.match.weight or not row_of(method).learned:
            continue
        if key in distiller.learned:
            made[key] = distiller.learned[key]
        elif method == "amad_projected":
            made[key] = AMADProjection(cells=_cells(pair, distiller.lengths))
        else:
            made[key] = nn.Linear(pair.student.shape[1], pair.teacher[0].shape[1])
        made[key].to(pair.student.device)
    return made


def learned_of(distiller: AnyDistiller, pair: MatchedLayers, key: str) -> nn.Module | None:
    """The parameters of a pair; ``None`` where its method has none.

    Raises:
        ValueError: it has none though its method needs them, or maps are of another size.
    """
    method = method_of(distiller, pair)
    if not row_of(method).learned:
        return None
    if key not in distiller.learned:
        raise ValueError(
            f"{pair.name}: {method!r} has no parameters for this pair: {GIVE_AN_EXAMPLE}"
        )
    found: nn.Module = distiller.learned[key]
    cells = _cells(pair, distiller.lengths)
    if isinstance(found, AMADProjection) and len(found.bias) != cells:
        raise ValueError(
            f"{pair.name}: amad_projected has a weight for maps of {len(found.bias)} cells, as in "
            f"example; got maps of {cells}: pad all batches to one length"
        )
    return found


def _cells(pair: MatchedLayers, lengths: Lengths) -> int:
    queries, keys = pair.student.shape[2:]
    left_out = lengths.crop[1] if lengths.crop else 0
    return (queries - left_out) * (keys - left_out)


def check_gradients_are_shared(distiller: AnyDistiller) -> None:
    """An error where processes would average the student's gradients, and not these.

    Raises:
        ValueError: DDP or FSDP is around the student alone.
    """
    own = [one for one in (distiller.method, *distiller.losses) if isinstance(one, nn.Module)]
    beside = [weight for one in (distiller.learned, *own) for weight in one.parameters()]
    if beside and shares_gradients(distiller) and not is_shared(distiller):
        names = learned_methods(distiller) or [name_of(one) for one in own]
        raise ValueError(
            f"{', '.join(names)} has parameters beside the student's, whose "
            "gradients must be averaged over the processes too: wrap the distiller, not the "
            "student, in DistributedDataParallel or fully_shard"
        )
