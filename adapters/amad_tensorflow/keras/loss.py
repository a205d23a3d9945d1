"""The loss as a Keras object: ``y_true`` is the teacher, ``y_pred`` the student."""

from typing import Any

import keras

from amad_core.arguments.maps import check_eps, check_temperature
from amad_core.arguments.words import check_choice
from amad_tensorflow.attention.inputs import Tensor
from amad_tensorflow.attention.loss import amad_loss
from amad_tensorflow.attention.variants import VARIANTS
from amad_tensorflow.keras.masks import masked_maps


@keras.saving.register_keras_serializable(package="amad")
class AMADLoss(keras.losses.Loss):  # type: ignore[misc]
    """``amad_loss`` for ``compile`` and ``fit``: ``loss(y_true=teacher, y_pred=student)``.

    ``call`` gives one loss a sample; Keras then weights and reduces over the batch as it does for
    its own losses, and converts both maps to ``dtype`` (float32 unless set otherwise).

    A mask that Keras itself has attached to the student's maps (``MultiHeadAttention`` does, after
    ``Embedding(mask_zero=True)``) is taken as the mask of cells that count; one that differs by
    head is refused. Otherwise set masked cells of both maps to 0, which gives the same loss.

    Args:
        variant: ``"mse"``, ``"kl"``, ``"token"`` or ``"js"``.
        temperature, eps: as in ``amad_loss``.
        reduction: Keras's: ``"sum_over_batch_size"`` (the mean, default), ``"sum"``, ``None``.
        name, dtype: as in every Keras loss.

    Raises:
        TypeError, ValueError: an option that ``amad_loss`` would refuse.
        RuntimeError: Keras runs on another backend than TensorFlow.

    Examples:
        >>> loss = AMADLoss(variant="kl")
        >>> maps = keras.ops.full((1, 2, 3, 3), 1 / 3)
        >>> float(loss(maps, maps))
        0.0
    """

    def __init__(
        self,
        *,
        variant: str = "mse",
        temperature: float = 1.0,
        eps: float | None = None,
        reduction: str | None = "sum_over_batch_size",
        name: str = "amad_loss",
        dtype: Any = None,
    ) -> None:
        if keras.config.backend() != "tensorflow":
            raise RuntimeError(
                "amad_tensorflow.AMADLoss needs Keras on its TensorFlow backend; got the backend "
                f"{keras.config.backend()!r} (set KERAS_BACKEND=tensorflow, or use amad_torch)"
            )
        if variant == "projected":
            raise ValueError(
                "variant must be another than 'projected' here, as a Keras loss holds no weights; "
                "got 'projected' (put an AMADProjection on the student's maps, and give 'kl')"
            )
        check_choice("variant", variant, VARIANTS)
        check_temperature(temperature)
        if eps is not None:
            check_eps(eps)
        super().__init__(name=name, reduction=reduction, dtype=dtype)
        self.variant = variant
        self.temperature = temperature
        self.eps = eps

    def __call__(
        self, y_true: Tensor, y_pred: Tensor, sample_weight: Tensor | None = None
    ) -> Tensor:
        """The reduced loss, with Keras's own mask on ``y_pred`` as the mask of cells."""
        mask = getattr(y_pred, "_keras_mask", None)
        if mask is not None:
            # Keras would weight the samples by it, which is another loss; new tensors carry none.
            y_true = masked_maps("y_true", y_true, mask)
            y_pred = masked_maps("y_pred", y_pred, mask)
        return super().__call__(y_true, y_pred, sample_weight)

    def call(self, y_true: Tensor, y_pred: Tensor) -> Tensor:
        """One loss a sample, ``[B]``, of maps ``[B, H, Q, K]``."""
        return amad_loss(
            teacher=y_true,
            student=y_pred,
            variant=self.variant,
            temperature=self.temperature,
            reduction="none",
            eps=self.eps,
        )

    def get_config(self) -> dict[str, Any]:
        """What makes the same loss again."""
        options = {
            "variant": self.variant,
            "temperature": self.temperature,
            "eps": self.eps,
            "dtype": self.dtype,
        }
        return {**super().get_config(), **options}
