"""What records hold for a comparison: pairs, and every seed that is missing or does not pair."""

from dataclasses import dataclass
from statistics import fmean

from amad_study.protocol.condition import Records, Weights, cells_of, score_of, was_refused
from amad_study.protocol.hypothesis import Comparison


@dataclass(frozen=True)
class Evidence:
    """Of one comparison.

    Attributes:
        comparison: whose.
        first, second: scores by seed, of the seeds that pair.
        likeness: by seed, how alike the heads of the teacher are: mean cosine between different
            heads of a layer, over pairs of layers.
        teachers: checksum of the teacher, by seed.
        missing: seeds of which a cell has not been run.
        unpaired: seeds whose two cells had different teachers, as happens where records of
            machines that trained their own are merged seed by seed; they do not count.
        refused: seeds whose teacher the gate let not through; nothing is missing there, and
            nothing counts.
    """

    comparison: Comparison
    first: dict[int, float]
    second: dict[int, float]
    likeness: dict[int, float]
    teachers: dict[int, str]
    missing: tuple[int, ...]
    unpaired: tuple[int, ...]
    refused: tuple[int, ...]

    @property
    def differences(self) -> dict[int, float]:
        """First minus second, by seed."""
        return {seed: score - self.second[seed] for seed, score in self.first.items()}

    @property
    def by_teacher(self) -> list[tuple[float, float]]:
        """How alike each teacher's heads are, and its seeds' mean difference."""
        seeds: dict[str, list[int]] = {}
        for seed, teacher in self.teachers.items():
            seeds.setdefault(teacher, []).append(seed)
        return [
            (
                fmean(self.likeness[seed] for seed in own),
                fmean(self.differences[seed] for seed in own),
            )
            for own in seeds.values()
        ]

    @property
    def complete(self) -> bool:
        """Whether every seed of the protocol that has a teacher counts."""
        return not self.missing and not self.unpaired


def evidence_of(comparison: Comparison, records: Records, weights: Weights) -> Evidence:
    """Sort the seeds of a comparison into pairs, missing and unpaired."""
    cells: list[dict[int, str]] = [
        {cell.seed: cell.key for cell in cells_of(side, weights, comparison.seeds)}
        for side in (comparison.first, comparison.second)
    ]  # without cells as long as a weight is not chosen
    first, second, likeness, teachers = {}, {}, {}, {}
    missing, unpaired, refused = [], [], []
    for seed in comparison.seeds:
        one, other = (side.get(seed, "") for side in cells)
        if one not in records or other not in records:
            missing.append(seed)
        elif was_refused(records[one]) or was_refused(records[other]):
            refused.append(seed)
        elif _teacher(records, one) != _teacher(records, other):
            unpaired.append(seed)
        else:
            first[seed] = score_of(records[one], comparison.score)
            second[seed] = score_of(records[other], comparison.score)
            layers = records[one]["heads"]["before"].values()
            likeness[seed] = fmean(layer["teacher"] for layer in layers)
            teachers[seed] = _teacher(records, one)
    return Evidence(
        comparison=comparison,
        first=first,
        second=second,
        likeness=likeness,
        teachers=teachers,
        missing=tuple(missing),
        unpaired=tuple(unpaired),
        refused=tuple(refused),
    )


def _teacher(records: Records, key: str) -> str:
    return str(records[key].get("run", {}).get("teacher", {}).get("sha256", ""))
