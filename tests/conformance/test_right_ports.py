"""Right ports in four frameworks pass every check, in every variant and precision."""

import numpy as np
import pytest

import amad_core
from amad_core.conformance import check_port
from tests.conformance.right_styles import BUILT, STYLES
from tests.support.port_sources import FLOOR, RIGHT_MSE, RIGHT_TORCH_KL, spoilt

VARIANTS = tuple(amad_core.VARIANTS)


@pytest.mark.parametrize("variant", VARIANTS)
def test_specification_passes(variant):
    """The gradient is judged too: it is what the function returns."""
    report = check_port(amad_core.amad_loss_and_grad, variant=variant, max_examples=30)
    report.raise_if_failed()
    by_name = {check.name: check.status for check in report.checks}
    assert by_name["gradient"] == "passed"
    assert by_name["options"] == "passed"
    assert by_name["mask"] == by_name["garbage"] == by_name["padding"] == "passed"


@pytest.mark.thin(2)
@pytest.mark.parametrize("variant", VARIANTS)
def test_torch_adapter_passes(variant):
    amad_torch = pytest.importorskip("amad_torch")
    report = check_port(amad_torch.amad_loss, variant=variant, max_examples=30)
    report.raise_if_failed()
    by_name = {check.name: check.status for check in report.checks}
    for name in ("gradient", "teacher", "inputs", "bfloat16", "float16", "float32"):
        assert by_name[name] == "passed", name


@pytest.mark.parametrize("reduction", ["sum", "none"])
def test_other_claims_pass(reduction):
    report = check_port(
        amad_core.amad_loss, variant="js", temperature=0.3, reduction=reduction, max_examples=15
    )
    report.raise_if_failed()


def test_torch_loss_class_passes():
    amad_torch = pytest.importorskip("amad_torch")
    report = check_port(amad_torch.AMADLoss, variant="kl", max_examples=15)
    report.raise_if_failed()
    assert {"variant", "temperature", "reduction", "mask"} <= set(report.description.accepts)


@pytest.mark.xdist_group("tensorflow")
def test_tensorflow_adapter_and_keras_loss_pass():
    amad_tensorflow = pytest.importorskip("amad_tensorflow")
    for port, framework in (
        (amad_tensorflow.amad_loss, "tensorflow"),
        (amad_tensorflow.AMADLoss, "tensorflow"),
    ):
        report = check_port(port, variant="kl", framework=framework, max_examples=8)
        report.raise_if_failed()


@pytest.mark.thin(2)
@pytest.mark.parametrize("floor", ["1e-12", "1e-30"])
def test_small_floors_are_no_mistake_where_they_are_numbers(port_file, floor):
    """Where the exact divergence is infinite, a floor is a decision; in float16 they are none."""
    pytest.importorskip("torch")
    target = port_file(spoilt(RIGHT_TORCH_KL, FLOOR, floor))
    report = check_port(target, isolate=False, variant="kl", max_examples=40)
    statuses = {check.name: check.status for check in report.checks}
    assert statuses["infinite"] == "decision"
    assert [check.name for check in report.failed] == ["float16"]
    assert "a floor (1e-12 in float16)" in report.failed[0].detail


def test_norms_with_a_small_summand_are_no_mistake(port_file):
    source = RIGHT_MSE.replace("keepdims=True)\n    s", "keepdims=True) + 1e-8\n    s", 1)
    assert source != RIGHT_MSE
    check_port(port_file(source), isolate=False, max_examples=30).raise_if_failed()


@pytest.mark.thin(2)
@pytest.mark.parametrize("dtype", ["float32", "bfloat16", "float16"])
def test_honest_arithmetic_in_low_precision_is_no_mistake(port_file, dtype):
    """No upcast: every operation rounds. Several seeds, for tolerances are statistical."""
    pytest.importorskip("torch")
    target = port_file(spoilt(RIGHT_TORCH_KL, FLOOR, "1e-7"))
    for seed in range(3):
        report = check_port(target, isolate=False, variant="kl", seed=seed, max_examples=1)
        by_name = {check.name: check for check in report.checks}
        assert by_name[dtype].status == "passed", by_name[dtype].detail


def test_float32_only_port_is_judged_in_float32(port_file):
    source = spoilt(RIGHT_MSE, "    t, s =", "    assert teacher.dtype == np.float32\n    t, s =")
    report = check_port(port_file(source), isolate=False, max_examples=30)
    report.raise_if_failed()
    assert report.description.dtypes[0] == "float32"


def test_reports_are_reproducible():
    reports = [check_port(np_half, seed=3, max_examples=20).to_json() for _ in range(2)]
    for report in reports:
        report["seconds"] = 0
        for check in report["checks"]:
            check["seconds"] = 0
    assert reports[0] == reports[1]


def np_half(teacher, student):
    return 0.5 * np.float64(amad_core.amad_loss(teacher=teacher, student=student))


@pytest.mark.thin(3)
@pytest.mark.parametrize(
    "style",
    [
        pytest.param(style, id=name, marks=pytest.mark.xdist_group(style.framework))
        for name, style in STYLES.items()
    ],
)
def test_ports_in_the_styles_of_others_are_right(style):
    """No style of writing the loss, and no framework's rounding, makes a right port wrong."""
    pytest.importorskip("keras" if style.port.__name__ == "keras_loss" else style.framework)
    port = style.port() if style.port in BUILT else style.port
    report = check_port(port, framework=style.framework, max_examples=2, **style.options)
    report.raise_if_failed()
    assert not any("does not take it" in check.detail for check in report.checks)


def test_a_floor_under_the_sum_of_a_head_is_no_luck(port_file):
    """Its inverse is infinite where a head is empty, which no softmax gives, masked or not."""
    source = spoilt(
        RIGHT_TORCH_KL,
        "F.normalize(s, p=1, dim=-1)",
        "(s / s.sum(-1, keepdim=True).clamp_min(1e-320))",
    )
    report = check_port(port_file(source), variant="kl", max_examples=250)
    report.raise_if_failed()
    assert "mask" in report.description.accepts
