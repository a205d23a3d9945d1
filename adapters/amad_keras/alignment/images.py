"""A callback for ``fit``: pictures of who is aligned with whom, as TensorBoard shows them."""

import io
import time
from pathlib import Path
from typing import Any

import keras

from amad_core.arguments.extras import install_hint
from amad_keras.alignment.measured import attention_losses, measure_alignment
from amad_pictures import plot_alignment


class AlignmentImages(keras.callbacks.Callback):  # type: ignore[misc]
    """Draws a Distiller's alignment weights on one fixed batch, every so many epochs.

    TensorBoard shows the pictures of :func:`plot_alignment` under ``alignment``, one a step: 0
    before training, then the number of epochs so far. The weights themselves are in ``history``, by
    that number, as :func:`measure_alignment` gives them.

    Args:
        x: inputs of both models, a batch that stays the same.
        log_dir: where TensorBoard looks; files are written into its folder ``alignment``.
        every: epochs between two pictures, at least 1.

    Raises:
        ImportError: tensorboard or matplotlib is not installed.
        TypeError: when training begins, a model that is no Distiller with an
            ``AttentionDistillation``.
        ValueError: ``every`` below 1; when training begins, no layers that have weights.

    Example:
        >>> callback = AlignmentImages(keras.random.normal((8, 6, 8)), "logs", every=5)
    """

    def __init__(self, x: Any, log_dir: str | Path, *, every: int = 1) -> None:
        super().__init__()
        if isinstance(every, bool) or not isinstance(every, int) or every < 1:
            raise ValueError(f"every must be a number of epochs, at least 1; got {every!r}")
        self.x, self.log_dir, self.every = x, Path(log_dir), every
        self.history: dict[int, dict[str, list[list[float]]]] = {}
        self._writer: Any = None

    def on_train_begin(self, logs: Any = None) -> None:
        """Look whether there is anything to draw, and where to."""
        attention_losses(self.model)
        if self._writer is None:
            self._writer = _writer(self.log_dir / "alignment")

    def on_epoch_begin(self, epoch: int, logs: Any = None) -> None:
        """The picture before training."""
        if epoch == 0:
            self._draw(0, "before training")

    def on_epoch_end(self, epoch: int, logs: Any = None) -> None:
        """The picture after every so many epochs."""
        if (epoch + 1) % self.every == 0:
            self._draw(epoch + 1, f"after {epoch + 1} epoch{'s' if epoch else ''}")

    def on_train_end(self, logs: Any = None) -> None:
        """Close the file."""
        if self._writer is not None:
            self._writer.close()
            self._writer = None

    def _draw(self, epochs: int, title: str) -> None:
        weights = self.history[epochs] = measure_alignment(self.model, [self.x])
        self._writer.add_event(_event(epochs, plot_alignment({title: weights})))
        self._writer.flush()


def _writer(folder: Path) -> Any:
    try:
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ImportError as error:
        raise ImportError(
            f"AlignmentImages needs tensorboard, which is not installed ({error}); "
            f"{install_hint('pictures')}"
        ) from error
    return EventFileWriter(str(folder))


def _event(step: int, figure: Any) -> Any:
    """A figure as TensorBoard keeps it."""
    from tensorboard.compat.proto.event_pb2 import Event
    from tensorboard.compat.proto.summary_pb2 import Summary

    content = io.BytesIO()
    figure.savefig(content, format="png", dpi=100)
    width, height = (int(100 * side) for side in figure.get_size_inches())
    image = Summary.Image(
        height=height, width=width, colorspace=4, encoded_image_string=content.getvalue()
    )
    summary = Summary(value=[Summary.Value(tag="alignment", image=image)])
    return Event(step=step, wall_time=time.time(), summary=summary)
