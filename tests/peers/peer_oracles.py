"""Every peer once more, from its paper, in plain loops over Python floats: one number a sample.

Nothing of ``amad_core`` is used. ``mask`` is true where a cell counts; sums run over those only.
"""

import itertools
import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np

Row = list[float]


def oracle(name: str, teacher: Any, student: Any, mask: Any, options: dict[str, Any]) -> list[Any]:
    """One value a sample; for ``best_match`` a list of values, one for each best assignment."""
    batch = len(teacher)
    extra = dict(options)
    values = extra.pop("teacher_values", None)
    results = []
    for b in range(batch):
        sample = dict(extra) if values is None else {**extra, "values": values[b].tolist()}
        cells = None if mask is None else np.asarray(mask)[b].tolist()
        results.append(ORACLES[name](teacher[b].tolist(), student[b].tolist(), cells, **sample))
    return results


def _one_to_one_mse(teacher: Any, student: Any, cells: Any) -> float:
    pairs = list(zip(teacher, student, strict=False))  # the shorter side decides
    return _mean(_mse(t, s, cells) for t, s in pairs)


def _one_to_one_kl(teacher: Any, student: Any, cells: Any, eps: float = 0.0) -> float:
    return _mean(_rows_kl(t, s, cells, eps) for t, s in zip(teacher, student, strict=False))


def _mean_head_mse(teacher: Any, student: Any, cells: Any) -> float:
    return _mse(_mean_map(teacher), _mean_map(student), cells)


def _mean_head_kl(teacher: Any, student: Any, cells: Any, eps: float = 0.0) -> float:
    return _rows_kl(_mean_map(teacher), _mean_map(student), cells, eps)


def _best_match_mse(teacher: Any, student: Any, cells: Any) -> list[float]:
    return [
        _mean(_mse(teacher[i], student[j], cells) for i, j in pairs)
        for pairs in _best_assignments(teacher, student, cells)
    ]


def _best_match_kl(teacher: Any, student: Any, cells: Any, eps: float = 0.0) -> list[float]:
    return [
        _mean(_rows_kl(teacher[i], student[j], cells, eps) for i, j in pairs)
        for pairs in _best_assignments(teacher, student, cells)
    ]


def _align_to_distill(teacher: Any, student: Any, cells: Any, weight: Any, bias: Any) -> float:
    total = 0.0
    flat = [_counted(head, cells) for head in student]
    for i, head in enumerate(teacher):
        target = _softmax(_counted(head, cells))
        aligned = [
            bias[i] + sum(weight[i][j] * flat[j][n] for j in range(len(flat)))
            for n in range(len(target))
        ]
        total += _kl(target, _softmax(aligned), 0.0)
    return total


def _squeezing_heads(
    teacher: Any,
    student: Any,
    cells: Any,
    values: Any,
    temperature: float = 1.0,
    eps: float = 0.0,
) -> float:
    maps, _ = squeezed(teacher, cells, values, len(student))

    def soft(head: Any) -> list[Row]:
        return [[cell ** (1 / temperature) if cell > 0 else 0.0 for cell in row] for row in head]

    return _mean(
        _rows_kl(soft(t.tolist()), soft(_zeroed(s, cells)), cells, eps)
        for t, s in zip(maps, student, strict=True)
    )


def squeezed(teacher: Any, cells: Any, values: Any, heads: int) -> tuple[list[Any], Row]:
    """The merged teacher, and every ``a`` before it was clamped."""
    maps = [np.array(_zeroed(head, cells)) for head in teacher]
    vectors = [np.array([x if _key_counts(cells, k) else [0.0] * len(x)
                         for k, x in enumerate(head)]) for head in values]  # fmt: skip
    shares = []
    while len(maps) > heads:
        merged_maps, merged_vectors, taken = [], [], 0
        while taken + 1 < len(maps) and len(maps) - len(merged_maps) > heads:
            shares.append(_least_squares(maps[taken : taken + 2], vectors[taken : taken + 2]))
            a = min(max(shares[-1], 0.0), 1.0)
            merged_maps.append(a * maps[taken] + (1 - a) * maps[taken + 1])
            merged_vectors.append(vectors[taken] + vectors[taken + 1])
            taken += 2
        maps, vectors = merged_maps + maps[taken:], merged_vectors + vectors[taken:]
    return maps, shares


def _minilm_attention(teacher: Any, student: Any, cells: Any, eps: float = 0.0) -> float:
    assert len(teacher) == len(student)
    return _one_to_one_kl(teacher, student, cells, eps)


def _minilmv2_relation(teacher: Any, student: Any, cells: Any, relation_heads: int) -> float:
    return _relations(_resplit(teacher, relation_heads), _resplit(student, relation_heads), cells)


def _relations(teacher: Any, student: Any, cells: Any) -> float:
    losses = []
    for t, s in zip(teacher, student, strict=True):
        for query in range(len(t)):
            keys = [k for k in range(len(t)) if cells is None or cells[query][k]]
            if keys:
                rows = [
                    _softmax([_dot(x[query], x[k]) / math.sqrt(len(x[k])) for k in keys])
                    for x in (t, s)
                ]
                losses.append(_kl(rows[0], rows[1], 0.0))
    return _mean(losses)


def _logits_kl(teacher: Any, student: Any, counts: Any, temperature: float = 1.0) -> float:
    if not isinstance(teacher[0], list):
        teacher, student, counts = [teacher], [student], None if counts is None else [counts]
    losses = [
        temperature**2 * _kl(*(_softmax([z / temperature for z in row]) for row in (t, s)), 0.0)
        for n, (t, s) in enumerate(zip(teacher, student, strict=True))
        if counts is None or counts[n]
    ]
    return _mean(losses)


def _mse(teacher: Any, student: Any, cells: Any) -> float:
    t, s = _counted(teacher, cells), _counted(student, cells)
    return _mean((x - y) ** 2 for x, y in zip(t, s, strict=True))


def _rows_kl(teacher: Any, student: Any, cells: Any, eps: float) -> float:
    losses = []
    for q, (t, s) in enumerate(zip(teacher, student, strict=True)):
        keys = [k for k in range(len(t)) if cells is None or cells[q][k]]
        if keys:
            losses.append(_kl(*(_shares([row[k] for k in keys]) for row in (t, s)), eps))
    return _mean(losses)


def _kl(p: Row, q: Row, eps: float) -> float:
    total = 0.0
    for x, y in zip(p, q, strict=True):
        if x > 0:
            total += x * math.log(x / max(y, eps)) if max(y, eps) > 0 else math.inf
    return total


def _best_assignments(teacher: Any, student: Any, cells: Any) -> Iterator[list[tuple[int, int]]]:
    """Every assignment whose sum of cosines is within 1e-6 of the best."""
    vectors = [[_counted(head, cells) for head in heads] for heads in (teacher, student)]
    cosines = [[_cosine(t, s) for s in vectors[1]] for t in vectors[0]]
    heads = min(map(len, vectors))
    found = []
    for rows in itertools.combinations(range(len(teacher)), heads):
        for columns in itertools.permutations(range(len(student)), heads):
            pairs = list(zip(rows, columns, strict=True))
            found.append((sum(cosines[i][j] for i, j in pairs), pairs))
    best = max(total for total, _ in found)
    return (pairs for total, pairs in found if total >= best - 1e-6)


def _least_squares(maps: Any, vectors: Any) -> float:
    """``a`` by a library's least squares on ``(A_1 - A_2) Y a = (A_1 - A_2) X_1``, flattened."""
    difference = maps[0] - maps[1]
    if not difference.any():
        return 0.5
    difference = difference / np.abs(difference).max()
    whole = (difference @ (vectors[0] + vectors[1])).ravel()
    if not whole.any():
        return 0.5
    solution = np.linalg.lstsq(whole[:, None], (difference @ vectors[0]).ravel(), rcond=None)
    return float(solution[0][0])


def _resplit(heads: Any, relation_heads: int) -> list[list[Row]]:
    tokens = [list(itertools.chain(*(head[n] for head in heads))) for n in range(len(heads[0]))]
    width = len(tokens[0]) // relation_heads
    return [[token[r * width : (r + 1) * width] for token in tokens] for r in range(relation_heads)]


def _mean_map(heads: Any) -> list[Row]:
    return [
        [_mean(cells) for cells in zip(*rows, strict=True)] for rows in zip(*heads, strict=True)
    ]


def _counted(head: Any, cells: Any) -> Row:
    return [
        cell
        for q, row in enumerate(head)
        for k, cell in enumerate(row)
        if cells is None or cells[q][k]
    ]


def _zeroed(head: Any, cells: Any) -> list[Row]:
    return [[_kept(c, cells, q, k) for k, c in enumerate(row)] for q, row in enumerate(head)]


def _kept(cell: float, cells: Any, q: int, k: int) -> float:
    return cell if cells is None or cells[q][k] else 0.0


def _key_counts(cells: Any, k: int) -> bool:
    return cells is None or any(row[k] for row in cells)


def _softmax(scores: Row) -> Row:
    if not scores:
        return []
    powers = [math.exp(score - max(scores)) for score in scores]
    return [power / sum(powers) for power in powers]


def _shares(row: Row) -> Row:
    total = math.fsum(row)
    return [cell / total for cell in row] if total > 0 else row


def _cosine(t: Row, s: Row) -> float:
    norms = math.sqrt(_dot(t, t)) * math.sqrt(_dot(s, s))
    return _dot(t, s) / norms if norms > 0 else 0.0


def _dot(t: Sequence[float], s: Sequence[float]) -> float:
    return math.fsum(x * y for x, y in zip(t, s, strict=True))


def _mean(numbers: Any) -> float:
    """0 for none: a sample without anything that counts."""
    listed = list(numbers)
    return sum(listed) / len(listed) if listed else 0.0


ORACLES: dict[str, Any] = {
    "one_to_one_mse": _one_to_one_mse,
    "one_to_one_kl": _one_to_one_kl,
    "mean_head_mse": _mean_head_mse,
    "mean_head_kl": _mean_head_kl,
    "best_match_mse": _best_match_mse,
    "best_match_kl": _best_match_kl,
    "align_to_distill": _align_to_distill,
    "squeezing_heads": _squeezing_heads,
    "tinybert_scores": _one_to_one_mse,
    "minilm_attention": _minilm_attention,
    "minilm_value_relation": _relations,
    "minilmv2_relation": _minilmv2_relation,
    "logits_kl": _logits_kl,
}
