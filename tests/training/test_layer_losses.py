"""The loss over layers is the sum of the losses of its pairs, and never silently 0."""

from typing import Any, NamedTuple

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from amad_core import amad_loss, amad_loss_and_grad
from amad_core.conformance.strategies import cell_masks
from amad_core.training.layers import layer_pairs
from tests.support.agreement import assert_agrees
from tests.support.frameworks import ADAPTERS
from tests.support.training_port import FEWER, Port, training_port
from tests.support.variants import projection

EPS = 2.0**-20  # the same in all three, whose defaults differ
WITHIN = 1e-12
VARIANT = st.sampled_from(["mse", "kl", "token", "js"])
LAYERS = st.sampled_from(["uniform", "last", "first", [(-1, 0), (0, 0)]])


class Models(NamedTuple):
    """Maps of every layer; heads differ from layer to layer."""

    teacher: list[np.ndarray]
    student: list[np.ndarray]
    masks: list[np.ndarray]


@st.composite
def models(draw: st.DrawFn) -> Models:
    random = np.random.default_rng(draw(st.integers(0, 2**16)))
    depths = draw(st.integers(2, 4)), draw(st.integers(1, 3))
    batch, queries, keys = (draw(st.integers(1, 3)) for _ in range(3))
    layers = [
        [
            random.dirichlet(np.ones(keys), size=(batch, heads, queries))
            for heads in random.integers(1, 4, depth)
        ]
        for depth in depths
    ]
    masks = [draw(cell_masks(batch=batch, queries=queries, keys=keys)) for _ in range(5)]
    return Models(layers[0], layers[1], masks)


@FEWER
@given(
    models=models(),
    variant=VARIANT,
    layers=LAYERS,
    reduction=st.sampled_from(["mean", "sum", "none"]),
)
def test_the_total_is_the_sum_over_the_pairs(
    port: Port, models: Models, variant: str, layers: Any, reduction: str
) -> None:
    depths = {"teacher_layers": len(models.teacher), "student_layers": len(models.student)}
    pairs = layer_pairs(layers, **depths)
    options = {"variant": variant, "temperature": 0.5, "reduction": reduction, "eps": EPS}
    found = port.call(
        "amad_layers_loss",
        teacher=models.teacher,
        student=models.student,
        layers=layers,
        mask=models.masks[0],
        **options,
    )
    wanted = [
        amad_loss(
            teacher=models.teacher[pair.teacher],
            student=models.student[pair.student],
            mask=models.masks[0],
            **options,
        )
        for pair in pairs
    ]
    assert list(found.pairs) == pairs
    assert_agrees(np.array(found.per_layer), wanted, within=WITHIN)
    assert_agrees(found.total, sum(wanted), within=WITHIN)


@pytest.mark.parametrize("adapter", ADAPTERS)
@FEWER
@given(models=models(), variant=VARIANT, layers=LAYERS, data=st.data())
def test_gradients_reach_every_paired_student_layer(
    adapter: str, models: Models, variant: str, layers: Any, data: st.DataObject
) -> None:
    """And no other: each is the sum over the pairs that the layer is in."""
    port = training_port(adapter)
    teacher, student, masks = models
    layer = data.draw(st.integers(0, len(student) - 1))
    options = {"variant": variant, "mask": masks[0], "eps": EPS}
    pairs = layer_pairs(layers, teacher_layers=len(teacher), student_layers=len(student))
    wanted = sum(
        (
            amad_loss_and_grad(teacher=teacher[pair.teacher], student=student[layer], **options)[1]
            for pair in pairs
            if pair.student == layer
        ),
        np.zeros_like(student[layer]),
    )

    def total(maps: Any) -> Any:
        others = port.converted(student)
        others[layer] = maps
        options["mask"] = port.array(masks[0])
        return port.functions.amad_layers_loss(
            teacher=port.converted(teacher), student=others, layers=layers, **options
        ).total

    assert_agrees(
        port.gradient(total, student[layer]), wanted, within=1e-10, size=np.abs(wanted).max() + 1
    )


@FEWER
@given(models=models())
def test_one_mask_for_each_pair(port: Port, models: Models) -> None:
    """Layers with different windows; ``None`` where all cells count."""
    pairs = layer_pairs(teacher_layers=len(models.teacher), student_layers=len(models.student))
    masks = [*models.masks[: len(pairs) - 1], None]
    found = port.call(
        "amad_layers_loss", teacher=models.teacher, student=models.student, mask=masks
    )
    wanted = [
        amad_loss(
            teacher=models.teacher[pair.teacher], student=models.student[pair.student], mask=mask
        )
        for pair, mask in zip(pairs, masks, strict=True)
    ]
    assert_agrees(np.array(found.per_layer), wanted, within=WITHIN)


@pytest.mark.parametrize("shared", [True, False])
def test_projections_are_shared_or_one_for_each_pair(port: Port, shared: bool) -> None:
    random = np.random.default_rng(5)
    teacher, student = (
        [random.dirichlet(np.ones(3), size=(2, heads, 2)) for _ in range(2)] for heads in (3, 2)
    )
    learned = [projection(6, seed=0), projection(6, seed=0 if shared else 1)]
    weight, bias = ([entry[name] for entry in learned] for name in ("weight", "bias"))
    found = port.call(
        "amad_layers_loss",
        teacher=teacher,
        student=student,
        variant="projected",
        eps=EPS,
        weight=weight[0] if shared else weight,
        bias=bias[0] if shared else bias,
    )
    wanted = [
        amad_loss(
            teacher=teacher[layer], student=student[layer], variant="projected", eps=EPS, **entry
        )
        for layer, entry in enumerate(learned)
    ]
    assert_agrees(np.array(found.per_layer), wanted, within=WITHIN)


MAPS = np.full((1, 2, 3, 3), 1 / 3)


@pytest.mark.parametrize("role", ["teacher", "student"])
@pytest.mark.parametrize(
    ("maps", "kind", "message"),
    [
        ((), ValueError, 'none at all.*attn_implementation="eager".*"sdpa"'),
        ([], ValueError, "return_attention_scores=True"),
        (None, ValueError, 'got None.*attn_implementation="eager"'),
        ([MAPS, None], ValueError, "at every layer that is compared; got none at layer 1 and maps "
         'at layer 0: .*attention implementation.*attn_implementation="eager".*output_attentions'),
        ([MAPS, ()], ValueError, "got none at layer 1 and maps at layer 0"),
        ([None, None], ValueError, "got none at layers 0, 1 and maps at no layer"),
        (MAPS, TypeError, "must be a list or tuple of maps, one a layer; got"),
    ],
)  # fmt: skip
def test_missing_maps_are_an_error_that_names_the_cause(
    port: Port, role: str, maps: Any, kind: type[Exception], message: str
) -> None:
    arguments = {"teacher": [MAPS, MAPS], "student": [MAPS, MAPS]} | {role: maps}
    with pytest.raises(kind, match=f"^{role}.*{message}"):
        port.call("amad_layers_loss", **arguments)


@pytest.mark.parametrize("missing", [None, ()])
@pytest.mark.parametrize("layers", [[(-1, -1)], [(2, 1), (0, 1)]])
def test_a_layer_in_no_pair_needs_no_map(port: Port, layers: Any, missing: Any) -> None:
    """As where only the distilled layers run an implementation that computes maps."""
    there = {pair[0] % 3 for pair in layers}
    teacher = [MAPS if layer in there else missing for layer in range(3)]
    found = port.call("amad_layers_loss", teacher=teacher, student=[missing, MAPS], layers=layers)
    wanted = amad_loss(teacher=MAPS, student=MAPS)
    assert_agrees(np.array(found.per_layer), [wanted] * len(layers), within=WITHIN)
    if len(there) < 3:
        with pytest.raises(ValueError, match=r"^teacher must hold a map .* got none at layer"):
            port.call("amad_layers_loss", teacher=teacher, student=[MAPS] * 3)


def test_a_mask_that_may_be_a_padding_mask_is_refused(port: Port) -> None:
    """Shared, or of one pair."""
    maps = np.full((3, 2, 3, 3), 1 / 3)
    for mask in (np.ones((3, 3), bool), [None, np.ones((3, 3), bool)]):
        with pytest.raises(ValueError, match=r"mask must have 3 axes .*mask\[None\].*tokens=mask"):
            port.call("amad_layers_loss", teacher=[maps] * 2, student=[maps] * 2, mask=mask)


def test_an_error_names_its_layers(port: Port) -> None:
    longer = np.full((1, 2, 4, 3), 1 / 3)
    with pytest.raises(ValueError, match=r"^teacher layer 3 with student layer 1: .*queries"):
        port.call("amad_layers_loss", teacher=[MAPS] * 3 + [longer], student=[MAPS] * 2)
    with pytest.raises(
        TypeError, match=r"^teacher layer 0 with student layer 0: mask must be bool"
    ):
        port.call("amad_layers_loss", teacher=[MAPS], student=[MAPS], mask=[np.ones((3, 3), int)])


def test_one_entry_for_each_pair_means_each(port: Port) -> None:
    with pytest.raises(
        ValueError, match=r"mask must be one for all .* each of the 2; got 1 entries"
    ):
        port.call("amad_layers_loss", teacher=[MAPS] * 2, student=[MAPS] * 2, mask=[None])
