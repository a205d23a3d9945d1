"""The picture of what was measured: layers, heads, alignment weights, gradients."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from amad_pictures.figures import BLUE, GREEN, ORANGE, new_figure, save_figure
from amad_torch.distillation.measurements import Evenness, PartLayers, PartOfLoss

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure


def draw(
    parts: list[PartLayers],
    evenness: list[Evenness],
    losses: list[PartOfLoss],
    temperature: float,
    path: str | Path | None,
) -> "Figure":
    """See ``Suggestion.plot``."""
    figure = new_figure(max(12.0, 3.6 * len(parts)), 8.4)
    rows: Any = figure.subfigures(2, 1, height_ratios=(1.1, 1))
    above, below = rows
    for axes, part in zip(above.subplots(1, len(parts), squeeze=False)[0], parts, strict=True):
        _draw_layers(axes, part)
    for_heads, for_weights, for_gradients = below.subplots(1, 3)
    _draw_heads(for_heads, parts)
    _draw_evenness(for_weights, evenness, temperature)
    _draw_gradients(for_gradients, losses)
    figure.suptitle("What was measured, and the settings to start from", fontsize=14)
    if path is not None:
        save_figure(figure, path)
    return figure


def _draw_layers(axes: "Axes", part: PartLayers) -> None:
    cells = [list(row) for row in zip(*part.likeness, strict=True)]
    axes.imshow(cells, cmap="Blues", vmin=0, vmax=1, aspect="auto", origin="lower")
    chosen = {(student, teacher) for teacher, student in part.pairs}
    for teacher, row in enumerate(cells):
        for student, value in enumerate(row):
            axes.annotate(
                f"{value:.2f}",
                (student, teacher),
                ha="center",
                va="center",
                fontsize=9 if max(len(cells), len(row)) <= 12 else 6,
                color="white" if value > 0.6 else "black",
            )
            if (student, teacher) in chosen:
                axes.plot(student, teacher, "s", markersize=24, fillstyle="none", color=ORANGE)
    axes.set_xticks(range(len(part.student)))
    axes.set_yticks(range(len(part.teacher)))
    axes.set_xlabel("student layer")
    axes.set_ylabel("teacher layer")
    axes.set_title(f"{part.name}: correlation of layers\n(framed: suggested)", fontsize=11)


def _draw_heads(axes: "Axes", parts: list[PartLayers]) -> None:
    for part, marker in zip(parts, "os^Dv<>P" * len(parts), strict=False):
        shares = [rank / heads for rank, heads in zip(part.effective_rank, part.heads, strict=True)]
        axes.plot(shares, color=BLUE, marker=marker, label=f"effective rank / heads, {part.name}")
        axes.plot(
            part.mean_cosine,
            color=ORANGE,
            linestyle="--",
            marker=marker,
            label=f"mean cosine, {part.name}",
        )
    axes.set_xlabel("teacher layer")
    axes.set_xticks(range(max(len(part.teacher) for part in parts)))
    axes.set_ylim(0, 1.05)
    _finish(axes, "How alike the teacher's heads are")


def _draw_evenness(axes: "Axes", evenness: list[Evenness], temperature: float) -> None:
    at = [one.temperature for one in evenness]
    entropy = [one.entropy for one in evenness]
    largest = [one.largest for one in evenness]
    axes.plot(at, entropy, color=BLUE, marker="o", label="entropy / log Hs")
    axes.plot(at, largest, color=ORANGE, marker="s", linestyle="--", label="largest weight")
    axes.axvline(temperature, color="black", linestyle=":", label="suggested")
    axes.set_xscale("log")
    axes.set_ylim(0, 1.05)
    axes.set_xlabel("temperature")
    _finish(axes, "How even the alignment weights are")


def _draw_gradients(axes: "Axes", losses: list[PartOfLoss]) -> None:
    names = [one.name for one in losses]
    before = [one.gradient_norm for one in losses]
    after = [one.weight * one.gradient_norm for one in losses]
    places = range(len(names))
    axes.bar([one - 0.2 for one in places], before, 0.4, color=BLUE, label="with weight 1")
    axes.bar([one + 0.2 for one in places], after, 0.4, color=GREEN, label="with those suggested")
    axes.set_xticks(places, [f"{one.name}\nweight {one.weight:.2g}" for one in losses])
    axes.set_ylabel("norm of the gradient")
    _finish(axes, "How hard each part of the loss pulls")


def _finish(axes: "Axes", title: str) -> None:
    axes.set_title(title, fontsize=11)
    axes.legend(frameon=False, fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.2))
    axes.grid(alpha=0.25)
    axes.spines[["top", "right"]].set_visible(False)
