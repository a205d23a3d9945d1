"""Our output losses and the frameworks' own, called as they must be, and as they often are."""

from typing import Any

import numpy as np
import pytest

from tests.support.agreement import assert_agrees, relative_error

RANDOM = np.random.default_rng(3)
BATCH, TOKENS, CLASSES, TEMPERATURE = 3, 5, 7, 3.0
LOGITS = RANDOM.standard_normal((2, BATCH, TOKENS, CLASSES)) * 2
MASK = np.arange(TOKENS) < np.array([[5], [3], [1]])
LABELS = np.where(MASK, RANDOM.integers(0, CLASSES, MASK.shape), -100)


class TestTorch:
    """``torch.nn.functional``."""

    @pytest.fixture
    def logits(self) -> Any:
        torch = pytest.importorskip("torch")
        return torch.tensor(LOGITS[0]), torch.tensor(LOGITS[1])

    @pytest.fixture
    def found(self, logits: Any) -> float:
        import torch

        from amad_torch.training.output_losses import output_loss

        teacher, student = logits
        return output_loss(
            teacher=teacher, student=student, temperature=TEMPERATURE, mask=torch.tensor(MASK)
        ).item()

    def kl_div(self, logits: Any, reduction: str) -> float:
        """Of the whole padded batch, first argument the student's log-probabilities."""
        from torch.nn import functional

        log_p, log_q = ((values / TEMPERATURE).log_softmax(-1) for values in logits)
        value = functional.kl_div(log_q, log_p, reduction=reduction, log_target=True)
        return TEMPERATURE**2 * value.item()

    def test_kl_div_of_the_valid_tokens_with_batchmean(self, logits: Any, found: float) -> None:
        import torch

        valid = [values[torch.tensor(MASK)] for values in logits]
        assert_agrees(found, self.kl_div(valid, "batchmean"), within=1e-14)

    def test_kl_div_of_a_classifier_with_batchmean(self, logits: Any) -> None:
        from amad_torch.training.output_losses import output_loss

        teacher, student = (values[:, 0] for values in logits)
        found = output_loss(teacher=teacher, student=student, temperature=TEMPERATURE)
        wanted = self.kl_div((teacher, student), "batchmean")
        assert_agrees(found.item(), wanted, within=1e-14)

    @pytest.mark.filterwarnings("ignore:reduction. 'mean' divides")
    def test_the_known_traps_of_kl_div(self, logits: Any) -> None:
        """``batchmean`` counts samples, not tokens; ``mean`` counts classes too."""
        from amad_torch.training.output_losses import output_loss

        found = output_loss(teacher=logits[0], student=logits[1], temperature=TEMPERATURE).item()
        assert_agrees(self.kl_div(logits, "batchmean"), TOKENS * found, within=1e-14)
        assert_agrees(self.kl_div(logits, "mean"), found / CLASSES, within=1e-14)

    def test_cross_entropy_with_ignore_index(self, logits: Any) -> None:
        import torch
        from torch.nn import functional

        from amad_torch.training.output_losses import task_loss

        student, labels = logits[1].requires_grad_(), torch.tensor(LABELS)
        found = task_loss(student=student, labels=labels)
        wanted = functional.cross_entropy(student.flatten(0, 1), labels.flatten())
        assert_agrees(found.item(), wanted.item(), within=1e-14)
        gradients = [torch.autograd.grad(loss, student)[0] for loss in (found, wanted)]
        assert_agrees(*gradients, within=1e-14)


@pytest.mark.xdist_group("tensorflow")
class TestKeras:
    """``keras.losses`` and ``keras.distillation``."""

    @pytest.fixture
    def found(self) -> float:
        pytest.importorskip("tensorflow")
        from amad_tensorflow.training.output_losses import output_loss

        teacher, student = self.classifier()
        return float(output_loss(teacher=teacher, student=student, temperature=TEMPERATURE))

    def classifier(self) -> tuple[np.ndarray, np.ndarray]:
        return LOGITS[0, :, 0].astype("float32"), LOGITS[1, :, 0].astype("float32")

    def test_logits_distillation_with_a_loss_instance(self, found: float) -> None:
        keras = pytest.importorskip("keras", minversion="3.12")
        theirs = keras.distillation.LogitsDistillation(
            temperature=TEMPERATURE, loss=keras.losses.KLDivergence()
        )
        assert_agrees(float(theirs.compute_loss(*self.classifier())), found, within=1e-5)

    def test_logits_distillation_with_its_default_is_another_loss(self, found: float) -> None:
        """The string becomes a function of raw logits. When this fails, correct the docs."""
        keras = pytest.importorskip("keras", minversion="3.12")
        theirs = keras.distillation.LogitsDistillation(temperature=TEMPERATURE)
        assert relative_error(float(theirs.compute_loss(*self.classifier())), found) > 0.1

    def test_sparse_categorical_crossentropy_with_ignore_class(self) -> None:
        keras = pytest.importorskip("keras")
        from amad_tensorflow.training.output_losses import task_loss

        student = LOGITS[1].astype("float32")
        theirs = keras.losses.SparseCategoricalCrossentropy(
            from_logits=True, ignore_class=-100, reduction=None
        )
        wanted = np.asarray(theirs(LABELS, student))[MASK].mean()
        assert_agrees(float(task_loss(student=student, labels=LABELS)), wanted, within=1e-6)
