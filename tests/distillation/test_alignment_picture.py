"""Alignment weights as a user measures and draws them."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("matplotlib")

from amad_torch import (  # noqa: E402
    Distiller,
    alignment_weights,
    capture_attention,
    measure_alignment,
    plot_alignment,
)
from tests.distillation.test_distiller import gpt2  # noqa: E402


@pytest.fixture
def distiller() -> Any:
    torch.manual_seed(0)
    return Distiller(teacher=gpt2(4, 2), student=gpt2(3, 2), temperature=0.2)


def batch(rows: int) -> dict[str, Any]:
    return {"input_ids": torch.randint(50, (rows, 7))}


def test_the_weights_are_the_mean_over_all_samples(distiller: Any) -> None:
    batches = [batch(3), batch(1)]
    found = measure_alignment(distiller, batches)
    joined = torch.cat([one["input_ids"] for one in batches])
    with capture_attention(distiller.teacher) as teacher, torch.no_grad():
        distiller.teacher(joined)
    student = distiller.student.eval()
    with capture_attention(student) as attention, torch.no_grad():
        student(joined)
    assert len(found) == 2
    for rows, one, other in zip(found.values(), teacher.maps(), attention.maps(), strict=True):
        wanted = alignment_weights(teacher=one, student=other, temperature=0.2).mean(dim=0)
        assert torch.allclose(torch.tensor(rows), wanted, atol=1e-6)


def test_the_distiller_is_as_it_was_also_after_an_error(distiller: Any) -> None:
    distiller.train()
    distiller.student.transformer.h[0].eval()
    with pytest.raises(AttributeError):
        measure_alignment(distiller, [batch(2), {"input_ids": "no tokens"}])
    assert distiller.watchers == []
    assert distiller.student.training
    assert not distiller.student.transformer.h[0].training


def test_without_weights_it_is_said(distiller: Any) -> None:
    with pytest.raises(ValueError, match="no alignment weights"):
        measure_alignment(distiller, [])
    distiller.method = "mean_head_mse"
    with pytest.raises(ValueError, match="mean_head_mse"):
        measure_alignment(distiller, [batch(2)])


def test_the_lines_are_the_weights(tmp_path: Path) -> None:
    path = tmp_path / "folder" / "heads.png"
    weights = {"layer": [[0.75, 0.25], [0.0, 1.0], [0.5, 0.5]]}
    figure = plot_alignment({"before": weights, "after": weights}, path)
    lines = [line.get_linewidth() for line in figure.axes[1].lines]
    assert lines == pytest.approx([7 * weight for row in weights["layer"] for weight in row])
    assert path.read_bytes().startswith(b"\x89PNG")


@pytest.mark.parametrize(
    "weights", [{}, {"before": {}}, {"before": {"a": [[1.0]]}, "after": {"b": [[1.0]]}}]
)
def test_other_layers_under_another_title_are_refused(weights: Any) -> None:
    with pytest.raises(ValueError, match="the same layers under each title"):
        plot_alignment(weights)
