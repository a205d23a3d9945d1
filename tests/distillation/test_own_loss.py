"""A loss of the user's own in place of a method's name, and a teacher that is stored elsewhere."""

from collections.abc import Mapping
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402

from amad_torch import AttentionMatch, Distiller  # noqa: E402
from amad_torch.cache import StoredTeacher, TeacherOutput  # noqa: E402
from amad_torch.cache.teacher_output import run_teacher  # noqa: E402
from amad_torch.peers import distillation_loss  # noqa: E402
from tests.distillation.test_distiller import BATCH, REAL, bert  # noqa: E402

ALONE = {"output_weight": 0.0, "task_weight": 0.0}


def one_to_one(**given: Any) -> Tensor:
    return distillation_loss(name="one_to_one_kl", **given)


class Scaled(nn.Module):
    """A loss with a parameter."""

    def __init__(self) -> None:
        super().__init__()
        self.factor = nn.Parameter(torch.tensor(2.0))

    def forward(self, *, teacher: Tensor, student: Tensor, mask: Tensor | None) -> Tensor:
        return self.factor * one_to_one(teacher=teacher, student=student, mask=mask)


def test_it_is_given_what_a_named_method_is() -> None:
    teacher, student = bert(4, 3, 48), bert(3)
    named = Distiller(teacher=teacher, student=student, method="one_to_one_kl", **ALONE)(**BATCH)
    own = Distiller(teacher=teacher, student=student, method=one_to_one, **ALONE)(**BATCH)
    assert torch.equal(own.attention, named.attention)
    own.loss.backward()
    for match in (AttentionMatch(method=one_to_one), AttentionMatch(method="one_to_one_kl")):
        mixed = Distiller(teacher=teacher, student=student, matches=[match], **ALONE)(**BATCH)
        assert torch.equal(mixed.attention, named.attention)


def test_it_sees_the_cells_that_count_and_no_gradient_of_the_teacher() -> None:
    seen: list[dict[str, Any]] = []

    def watch(**given: Any) -> Tensor:
        seen.append(given)
        return one_to_one(**{name: given[name] for name in ("teacher", "student", "mask")})

    distiller = Distiller(
        teacher=bert(4, 3, 48), student=bert(3), method=watch, options={"further": 7}, **ALONE
    )
    distiller(**BATCH)
    assert len(seen) == len(distiller.pairs(**BATCH))
    for given in seen:
        assert torch.equal(given["mask"], REAL.bool()[:, :, None] & REAL.bool()[:, None, :])
        assert given["teacher"].shape[1] == 4
        assert not given["teacher"].requires_grad
        assert given["student"].requires_grad
        assert given["further"] == 7


def test_the_parameters_of_a_module_are_trained_and_saved() -> None:
    loss = Scaled()
    distiller = Distiller(teacher=bert(4, 3, 48), student=bert(3), method=loss, **ALONE)
    assert any(one is loss.factor for one in distiller.parameters())
    out = distiller(**BATCH)
    out.loss.backward()
    assert loss.factor.grad is not None
    assert float(loss.factor.grad) == pytest.approx(float(out.attention.detach()) / 2, rel=1e-4)
    assert "method.factor" in distiller.state_dict()
    matches = [AttentionMatch(method=loss)]
    distiller = Distiller(teacher=bert(4, 3, 48), student=bert(3), matches=matches, **ALONE)
    assert "losses.0.factor" in distiller.state_dict()


@pytest.mark.parametrize(
    ("returned", "error", "message"),
    [
        (1.0, TypeError, "must return a tensor; got float"),
        (torch.ones(3), ValueError, r"must return a scalar, a mean over the batch; got shape \[3"),
    ],
)
def test_what_it_returns_is_checked(returned: Any, error: type[Exception], message: str) -> None:
    def wrong(**_: Any) -> Any:
        return returned

    distiller = Distiller(teacher=bert(4, 3, 48), student=bert(3), method=wrong, **ALONE)
    with pytest.raises(error, match=f"bert.encoder.*: wrong {message}"):
        distiller(**BATCH)


def test_suggestions_leave_the_temperature_alone() -> None:
    distiller = Distiller(teacher=bert(4, 3, 48), student=bert(3), method=one_to_one)
    assert "one_to_one has no alignment weights" in str(distiller.suggest([BATCH]))
    assert "one_to_one" in repr(distiller)


class Elsewhere(StoredTeacher):
    """A store of the user's own: here, the teacher itself."""

    def __init__(self, teacher: nn.Module) -> None:
        self.teacher, self.named_by, self.index = teacher, ("row",), "row"
        self.asked: list[Tensor] = []

    def read(
        self, batch: Mapping[str, Any], *, attention: bool = True, logits: bool = True
    ) -> TeacherOutput:
        self.asked.append(batch["row"])
        rest = {name: value for name, value in batch.items() if name != "row"}
        return run_teacher(self.teacher, rest, attention=attention)


def test_a_teacher_may_be_stored_in_another_way() -> None:
    teacher, student = bert(4, 3, 48), bert(3)
    store = Elsewhere(teacher.eval())
    numbers = torch.arange(len(REAL))
    found = Distiller(teacher=store, student=student)(**BATCH, row=numbers)
    expected = Distiller(teacher=teacher, student=student)(**BATCH)
    torch.testing.assert_close(found.loss, expected.loss)
    assert torch.equal(store.asked[-1], numbers)
