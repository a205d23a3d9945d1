"""What cannot be streamed is refused: which argument, what came, what to do."""

from typing import Any

import pytest
import torch

from amad_torch import QueriesKeys, amad_loss_from_queries_and_keys

RIGHT: dict[str, Any] = {"queries": torch.ones(2, 4, 5, 3), "keys": torch.ones(2, 2, 6, 3)}


def refused(
    teacher: Any = None, student: Any = None, **options: Any
) -> pytest.ExceptionInfo[Exception]:
    """Records with these fields in place of right ones, or something else altogether."""
    given = {
        name: QueriesKeys(**RIGHT | (side or {})) if isinstance(side, dict | None) else side
        for name, side in (("teacher", teacher), ("student", student))
    }
    with pytest.raises((TypeError, ValueError)) as error:
        amad_loss_from_queries_and_keys(**given, **options)
    return error


@pytest.mark.parametrize(
    ("given", "said"),
    [
        ({"teacher": torch.ones(2, 4, 5, 6)}, "teacher must be QueriesKeys.*maps go to amad_loss"),
        ({"student": 3}, "student must be QueriesKeys.*got int"),
        (
            {"student": {"queries": torch.ones(4, 5, 3)}},
            r"student.queries must have 4 axes.*\[4,",
        ),
        ({"student": {"keys": torch.ones(2, 2, 6, 4)}}, "student: .*must agree in head size"),
        ({"teacher": {"keys": torch.ones(2, 3, 6, 3)}}, "teacher.keys.*divides.*got 3 for 4"),
        ({"student": {"keys": torch.ones(2, 2, 7, 3)}}, "teacher and student must agree in keys"),
        ({"student": {"queries": RIGHT["queries"].int()}}, "student.queries must hold real"),
        ({"student": {"mask": torch.ones(2, 4, 5, 6)}}, "student.mask must be boolean"),
        ({"student": {"mask": torch.ones(2, 6).bool()}}, r"student.mask.*\[:, None, None, :\]"),
        ({"student": {"mask": torch.ones(2, 4, 6, 5).bool()}}, "student.mask must have 4 axes"),
        ({"student": {"bias": torch.ones(4, 5, 6)}}, "student.bias must have 4 axes"),
        ({"student": {"sinks": torch.ones(5)}}, "student.sinks must have one number a head"),
        ({"student": {"log_sum_exp": torch.ones(2, 4, 6)}}, "student.log_sum_exp.*a row"),
        ({"student": {"scale": float("nan")}}, "student.scale must be finite"),
        ({"student": {"softcap": 0}}, "student.softcap must be finite and greater than 0"),
        ({"student": {"causal": True}}, "student: causal and window need as many queries"),
        ({"student": {"window": (1, -1)}}, "student.window must be two integers"),
        ({"variant": "projected"}, "variant must be one of.*'projected', which multiplies whole"),
        ({"variant": "msr"}, "variant must be one of"),
        ({"queries_at_once": 0}, "queries_at_once must be at least 1"),
        ({"mask": torch.ones(2, 6).bool()}, "a padding mask"),
        ({"reduction": "max"}, "reduction must be one of"),
        ({"temperature": 0}, "temperature must be finite and greater than 0"),
    ],
)
def test_what_is_wrong_is_said(given: dict[str, Any], said: str) -> None:
    assert refused(**given).match(said)


@pytest.mark.parametrize("variant", ["mse", "kl", "token", "js"])
def test_what_is_not_finite_is_said_where_it_counts(variant: str) -> None:
    queries = torch.randn(2, 4, 5, 3)
    queries[1, 2, 3] = torch.nan
    broken = {"queries": queries}
    assert refused(student=broken, variant=variant).match("student.queries must be finite")
    assert refused(teacher=broken, variant=variant).match("teacher.queries must be finite")
    huge = {"queries": torch.full((2, 4, 5, 3), 1e30), "keys": torch.full((2, 2, 6, 3), -1e30)}
    assert refused(student=huge, variant=variant).match("scores .* must be finite")
    unchecked = amad_loss_from_queries_and_keys(
        teacher=QueriesKeys(**RIGHT),
        student=QueriesKeys(**RIGHT | broken),
        variant=variant,
        check_values=False,
    )
    assert unchecked.isnan()


@pytest.mark.parametrize("variant", ["mse", "kl", "token", "js"])
def test_what_does_not_count_may_be_anything(variant: str) -> None:
    """A padded query, and a padded key that nobody sees."""
    torch.manual_seed(0)
    given = {"queries": torch.randn(2, 4, 5, 3), "keys": torch.randn(2, 2, 6, 3)}
    seen = torch.ones(2, 1, 1, 6, dtype=torch.bool)
    seen[1, ..., 4] = False
    mask = torch.ones(2, 5, 6, dtype=torch.bool)
    mask[1, 3], mask[1, :, 4] = False, False
    teacher = QueriesKeys(torch.randn(2, 3, 5, 7), torch.randn(2, 3, 6, 7))
    options = {"variant": variant, "mask": mask, "queries_at_once": 2}

    given = {name: one.requires_grad_() for name, one in given.items()}

    def loss_and_gradients() -> tuple[torch.Tensor, ...]:
        softcap = 3.0 if variant in ("kl", "token") else None
        student = QueriesKeys(**given, mask=seen, softcap=softcap)
        loss = amad_loss_from_queries_and_keys(teacher=teacher, student=student, **options)
        return loss, *torch.autograd.grad(loss, tuple(given.values()))

    wanted = loss_and_gradients()
    for content in (1e32, torch.nan):
        with torch.no_grad():
            given["queries"][1, :, 3], given["keys"][1, :, 4] = content, torch.inf
        torch.testing.assert_close(loss_and_gradients(), wanted)
