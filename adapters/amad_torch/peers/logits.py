"""Output distillation: temperature-softened logits."""

from torch import Tensor

from amad_core.arguments.maps import check_temperature
from amad_torch.attention.precision import full_precision
from amad_torch.peers.inputs import logits_and_positions
from amad_torch.peers.reduction import reduced
from amad_torch.training.output_losses import token_kl


def logits_kl(
    *,
    teacher: Tensor,
    student: Tensor,
    temperature: float = 1.0,
    reduction: str = "mean",
    mask: Tensor | None = None,
    check_values: bool | None = None,
) -> Tensor:
    """KL divergence of softened outputs, times temperature squared; 0 for equal logits, >= 0.

    ``τ² KL(softmax(z^T/τ) ‖ softmax(z^S/τ))``, the mean over the positions of the sample that
    count. The factor keeps the gradient's size as τ grows. A batch mean is a mean of the samples'
    means, so every sample weighs the same however many positions it has.

    TinyBERT's prediction loss is another convention: the cross-entropy instead of the divergence,
    a mean over the ``C`` classes too, and no ``τ²``, so its gradient is this one over ``C τ²``.

    Args:
        teacher: logits ``[B, C]`` or ``[B, L, C]``, floats of any sign; gets no gradient.
        student: logits of the same shape.
        temperature: τ > 0.
        reduction: over the batch: ``"mean"``, ``"sum"``, or ``"none"`` for one loss a sample.
        mask: boolean, broadcastable to ``[B]`` or ``[B, L]``, true where a position counts.
            What a masked position holds has no influence; a sample without any gives 0.
        check_values: look for NaN and infinite logits: always (``True``), never (``False``), or
            where it costs no device synchronisation (``None``).

    Returns:
        A scalar, or ``[B]`` with ``reduction="none"``; float64 where an input is float64, else
        float32.

    Raises:
        TypeError: logits that are not real floats, a mask that is not boolean.
        ValueError: other axes than stated, different shapes, an empty axis, a mask that does not
            broadcast, a temperature of 0 or below, an unknown reduction; as far as values are
            checked, NaN or infinite logits that count.

    Source: Hinton, Vinyals, Dean, "Distilling the Knowledge in a Neural Network", 2015, section 2.
    """
    check_temperature(temperature)
    with full_precision(student):
        teacher, student, valid = logits_and_positions(teacher, student, mask, check_values)
        # Masked positions are 0 on both sides and so without divergence.
        losses = token_kl(teacher, student, float(temperature)).reshape(valid.shape[0], -1)
        positions = valid.reshape(valid.shape[0], -1).sum(dim=1).clamp(min=1)
        return reduced(losses.sum(dim=1) / positions, reduction)
