"""What tests of several pages ask of the study's committed results."""

from typing import Any


def costs_to_students_of_minilm(results: dict[str, Any]) -> list[float]:
    """What attention takes from the cosine, by pairing and number of heads."""
    rows = results["sentences"]["rows"]
    alone = {one["heads"]: one["means"]["cosine"] for one in rows if not _attends(one)}
    return [alone[one["heads"]] - one["means"]["cosine"] for one in rows if _attends(one)]


def _attends(row: dict[str, Any]) -> bool:
    return row["method"] != "ground-truth"
