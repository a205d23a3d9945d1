"""What the peers refuse, and that specification and adapters say it in the same words."""

from collections.abc import Callable
from typing import Any

import numpy as np
import pytest

import amad_core.peers
from tests.peers.peer_cases import seeded_case

Loss = Callable[..., Any]


def case(peer: str, /, **changes: Any) -> dict[str, Any]:
    arguments = seeded_case(peer, masked=False).arguments()
    return {**arguments, **changes}


def zeros(*shape: int) -> Any:
    return np.zeros(shape)


REFUSED: list[tuple[type[Exception], str, dict[str, Any]]] = [
    (ValueError, "name must be one of .*; got 'amad'", case("one_to_one_mse", name="amad")),
    (TypeError, "name must be a string", case("one_to_one_mse", name=None)),
    (
        TypeError,
        r"weight is no option of 'mean_head_kl'; got weight=1.0 \(options: 'eps'",
        case("mean_head_kl", weight=1.0),
    ),
    (TypeError, "variant is no option of 'amad_kl'",
     case("mean_head_kl", name="amad_kl", variant="mse")),
    (
        TypeError,
        "relation_heads must be given for 'minilmv2_relation'",
        {key: value for key, value in case("minilmv2_relation").items() if key != "relation_heads"},
    ),
    (ValueError, "reduction must be one of 'none', 'sum', 'mean'; got 'batchmean'",
     case("logits_kl", reduction="batchmean")),
    (ValueError, r"teacher and student must agree in heads for 'minilm_attention'; got teacher 5, "
     "student 3", {**case("one_to_one_kl"), "name": "minilm_attention"}),
    (ValueError, "agree in heads for 'tinybert_scores'; got teacher 5, student 2",
     case("tinybert_scores", student=zeros(3, 2, 4, 6))),
    (ValueError, "agree in heads for 'minilm_value_relation'",
     case("minilm_value_relation", student=zeros(3, 2, 4, 6))),
    (ValueError, r"teacher must have 4 axes \[batch, heads, tokens, features\]; got 3 axes",
     case("minilmv2_relation", teacher=zeros(3, 4, 6))),
    (ValueError, "student must have at least 1 along features",
     case("minilmv2_relation", student=zeros(3, 3, 4, 0))),
    (ValueError, "teacher and student must agree in tokens; got teacher 4, student 5",
     case("minilmv2_relation", student=zeros(3, 3, 5, 4))),
    (ValueError, r"relation_heads must divide the 12 features .* of the student; got 5",
     case("minilmv2_relation", teacher=zeros(3, 5, 4, 6), relation_heads=5)),
    (ValueError, "relation_heads must be at least 1; got 0",
     case("minilmv2_relation", relation_heads=0)),
    (TypeError, "relation_heads must be an integer; got 2.0 of type float",
     case("minilmv2_relation", relation_heads=2.0)),
    (ValueError, r"weight must have shape \[5, 3\] .*; got \[3, 5\]",
     case("align_to_distill", weight=zeros(3, 5))),
    (ValueError, r"bias must have shape \[5\] .*; got \[3\]",
     case("align_to_distill", bias=zeros(3))),
    (ValueError, "weight must be finite; got",
     case("align_to_distill", weight=zeros(5, 3) + np.nan)),
    (ValueError, "bias must be finite; got", case("align_to_distill", bias=zeros(5) - np.inf)),
    (ValueError, "relation_heads must be within 64 bits; got an integer beyond them",
     case("minilmv2_relation", relation_heads=10**400)),
    (ValueError, "student must have no more heads than the teacher .*; got teacher 5, student 6",
     case("squeezing_heads", student=zeros(3, 6, 4, 6))),
    (ValueError, r"teacher_values must have shape .* = \[3, 5, 6, any\]; got shape \[3, 5, 4, 7\]",
     case("squeezing_heads", teacher_values=zeros(3, 5, 4, 7))),
    (ValueError, "teacher_values must have at least 1 along features",
     case("squeezing_heads", teacher_values=zeros(3, 5, 6, 0))),
    (ValueError, "teacher_values must be finite where it counts; got",
     case("squeezing_heads", teacher_values=zeros(3, 5, 6, 7) + np.nan)),
    (ValueError, "temperature must be finite and greater than 0; got 0",
     case("squeezing_heads", temperature=0)),
    (ValueError, "temperature must be finite and greater than 0; got -1.0",
     case("logits_kl", temperature=-1.0)),
    (ValueError, "eps must be finite and at least 0; got -1", case("minilm_attention", eps=-1)),
    (ValueError, "eps must be finite and at least 0; got -1", case("one_to_one_kl", eps=-1)),
    (ValueError, "eps must be finite and at least 0; got -1", case("squeezing_heads", eps=-1)),
    (ValueError, r"teacher must have axes \[batch, classes\] or .*; got 1 axes, shape \[6\]",
     case("logits_kl", teacher=zeros(6))),
    (ValueError, r"logits of the same shape; got \[3, 4, 6\] and \[3, 4, 5\]",
     case("logits_kl", student=zeros(3, 4, 5))),
    (ValueError, "student must have at least 1 along classes",
     case("logits_kl", student=zeros(3, 4, 0))),
    (TypeError, "mask must be boolean, true where a position counts; got dtype",
     case("logits_kl", mask=zeros(3, 4))),
    (ValueError, r"mask must broadcast to the positions of the logits \[3, 4\]; got shape \[3, 5\]",
     case("logits_kl", mask=zeros(3, 5) == 0)),
    (ValueError, "student must be finite where it counts; got",
     case("logits_kl", student=zeros(3, 4, 6) + np.inf)),
    (ValueError, "teacher must be finite where it counts; got",
     case("tinybert_scores", teacher=zeros(3, 5, 4, 6) + np.nan)),
    (ValueError, "student must be finite where it counts; got",
     case("minilm_value_relation", student=zeros(3, 5, 4, 4) + np.inf)),
    (TypeError, "student must hold real floating-point numbers; got dtype",
     case("tinybert_scores", student=np.zeros((3, 5, 4, 6), np.int64))),
    (ValueError, "student must be finite and non-negative where it counts",
     case("best_match_kl", student=zeros(3, 3, 4, 6) - 1)),
    (ValueError, r"mask must broadcast to \[batch, queries, keys\] = \[3, 4, 6\]",
     case("one_to_one_mse", mask=zeros(4, 4, 6) == 0)),
    (ValueError, r"mask must have 2 axes .*; got shape \[4\] for \[batch, tokens\] = \[4, 4\], "
     r"which may be \[tokens\] or \[batch\] \(for tokens .* mask\[None\], .* mask\[:, None\]\)",
     case("logits_kl", teacher=zeros(4, 4, 6), student=zeros(4, 4, 6), mask=zeros(4) == 0)),
    *(
        (ValueError, r"mask must have 3 axes .*; got shape \[4, 4\] .* = \[4, 4, 4\], which may be",
         {**case(peer), "teacher": zeros(4, 2, 4, 4), "student": zeros(4, 2, 4, 4),
          "mask": zeros(4, 4) == 0})
        for peer in amad_core.peers.PEERS
        if peer not in ("align_to_distill", "squeezing_heads", "logits_kl")  # other shapes
    ),
]  # fmt: skip


def specification() -> Loss:
    return amad_core.peers.distillation_loss


def torch_adapter() -> Loss:
    torch = pytest.importorskip("torch")
    from amad_torch.peers import distillation_loss

    return lambda **arguments: distillation_loss(**_converted(arguments, torch.tensor))


def tensorflow_adapter() -> Loss:
    tf = pytest.importorskip("tensorflow")
    from amad_tensorflow.peers import distillation_loss

    return lambda **arguments: distillation_loss(**_converted(arguments, tf.constant))


def _converted(arguments: dict[str, Any], tensor: Callable[[Any], Any]) -> dict[str, Any]:
    return {
        key: tensor(value) if isinstance(value, np.ndarray) else value
        for key, value in arguments.items()
    }


@pytest.mark.parametrize(
    "loss",
    [
        pytest.param(specification, id="spec"),
        pytest.param(torch_adapter, id="torch"),
        pytest.param(
            tensorflow_adapter, id="tensorflow", marks=pytest.mark.xdist_group("tensorflow")
        ),
    ],
)
@pytest.mark.parametrize(("error", "message", "arguments"), REFUSED)
def test_refused(
    error: type[Exception], message: str, arguments: dict[str, Any], loss: Callable[[], Loss]
) -> None:
    with pytest.raises(error, match=message):
        loss()(**arguments)


def test_nothing_to_differentiate_of_that_name() -> None:
    with pytest.raises(ValueError, match="with_respect_to must be one of 'student' for"):
        amad_core.peers.distillation_loss_and_grad(
            **case("one_to_one_mse"), with_respect_to="weight"
        )
    with pytest.raises(ValueError, match="one of 'student', 'weight', 'bias' for"):
        amad_core.peers.distillation_loss_and_grad(
            **case("align_to_distill"), with_respect_to="teacher"
        )


def test_tensors_of_the_framework_are_asked_for() -> None:
    pytest.importorskip("torch")
    from amad_torch.peers import logits_kl, tinybert_scores

    arguments = case("logits_kl")
    with pytest.raises(TypeError, match=r"teacher must be a torch\.Tensor; got ndarray"):
        logits_kl(teacher=arguments["teacher"], student=arguments["student"])
    with pytest.raises(TypeError, match=r"teacher must be a torch\.Tensor; got list"):
        tinybert_scores(teacher=[1.0], student=[1.0])


def test_values_are_checked_only_where_asked() -> None:
    torch = pytest.importorskip("torch")
    from amad_torch.peers import logits_kl

    bad = torch.full((2, 3), float("nan"))
    assert logits_kl(teacher=bad, student=bad, check_values=False).isnan()
    with pytest.raises(ValueError, match="teacher must be finite"):
        logits_kl(teacher=bad, student=bad, check_values=True)
