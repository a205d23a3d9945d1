"""Masks in the forms that people's ports take: asked for, or found out by name and by calling."""

import re

import numpy as np
import pytest

from amad_core.attention.inputs import broadcast_mask
from amad_core.conformance import check_port
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.inputs.designed import discriminating_cases
from amad_core.conformance.inputs.token_masks import cells_of, of_tokens, tokens_of
from amad_core.conformance.ports.mask_forms import AXES, VALUES, MaskForm, forms_to_try
from tests.support.port_sources import RIGHT_TORCH_KL, spoilt

KEPT = {
    "bool": "mask",
    "int": "mask == 1",
    "float": "mask > 0.5",
    "inverted": "~mask",
    "additive": "mask == 0",
    "additive-inf": "torch.isfinite(mask)",
    "additive-1e4": "(mask / 1e4 + 1).round().bool()",
}
CELLS = {
    "BQK": "real",
    "B1QK": "real[:, 0]",
    "BK": "real[:, :, None] & real[:, None]",
    "B11K": "real[:, 0, 0, :, None] & real[:, 0]",
}
TYPES = {"bool": "bool", "inverted": "bool", "int": "int64"}


def port(axes, values, argument="mask", default="=None"):
    """A right port that takes one form of mask and refuses the others."""
    dtype = TYPES.get(values)
    expected = f"torch.{dtype}" if dtype else "teacher.dtype"
    taken = (
        f"        assert mask.ndim == {len(axes)} and mask.dtype == {expected}\n"
        f"        real = {KEPT[values]}\n        mask = {CELLS[axes]}\n"
    )
    source = spoilt(RIGHT_TORCH_KL, "        teacher, student", f"{taken}        teacher, student")
    source = spoilt(source, "mask=None", f"mask{default}")
    return re.sub(r"\bmask\b", argument, source)


def judged(target, **options):
    pytest.importorskip("torch")
    return check_port(target, isolate=False, variant="kl", max_examples=5, **options)


@pytest.mark.parametrize("values", VALUES)
@pytest.mark.parametrize("axes", AXES)
def test_every_form_can_be_asked_for(port_file, axes, values):
    report = judged(port_file(port(axes, values)), mask_form=f"{axes}:{values}")
    report.raise_if_failed()
    assert {check.name: check.status for check in report.checks}["padding"] == "passed"


FOUND = {
    ("BK:int", "attention_mask"): "=None",
    ("BK:bool", "padding_mask"): "",
    ("BK:inverted", "key_padding_mask"): "=None",
    ("B11K:additive", "attention_mask"): "",
    ("B11K:additive-inf", "additive_mask"): "",
    ("B1QK:additive-1e4", "extended_attention_mask"): "=None",
    ("BQK:bool", "attention_mask"): "=None",
    ("BQK:float", "mask"): "",
}


@pytest.mark.parametrize(("form", "argument"), FOUND)
def test_forms_are_found_and_told(port_file, form, argument):
    source = port(*form.split(":"), argument, FOUND[form, argument])
    report = judged(port_file(source))
    report.raise_if_failed()
    assert report.description.mask_form == form
    assert {check.name: check.status for check in report.checks}["mask"] == "passed"
    if form != "BQK:bool":
        assert f"{argument} is passed as {form}" in report.description.remark


def test_a_wrong_port_of_another_form_is_wrong(port_file):
    """And the script that shows it passes the mask in the form that was found."""
    source = port("BK", "int", "attention_mask")
    for old, new in (
        ("real[:, :, None] & real[:, None]", "real[:, None] & real[:, None]"),
        ("attention_mask == 1", "attention_mask == 0"),
    ):
        report = judged(port_file(spoilt(source, old, new)))
        assert "mask" in [check.name for check in report.failed]
        assert report.worst.case.mask is None or "mask_form='BK:int'" in report.snippet


@pytest.mark.parametrize("default", ["=None", ""])
def test_a_mask_taken_for_its_contrary_is_wrong(port_file, default):
    """A mask whose name does not say so is not inverted until the port is right.

    A port that must be given one leaves everything out where nothing is masked.
    """
    source = spoilt(RIGHT_TORCH_KL, "masked_fill(~mask", "masked_fill(mask")
    report = judged(port_file(spoilt(source, "mask=None", f"mask{default}")))
    assert report.description.mask_form == "BQK:bool"
    assert "mask" in [check.name for check in report.failed]
    assert "mask-inverted" in [explanation.name for explanation in report.explanations]


def test_an_optional_argument_that_is_no_mask_of_ours_is_left_out(port_file):
    """Recognised by its name alone, and nothing that the kit passes works."""
    report = judged(port_file(port("BQK", "bool", "head_mask").replace("ndim == 3", "ndim == 1")))
    report.raise_if_failed()
    assert "head_mask: masks are left out" in report.description.remark


def test_no_such_form(port_file):
    report = judged(port_file(RIGHT_TORCH_KL), mask_form="BK:tokens")
    assert report.exit_code == 2
    assert "BQK, B1QK, BK, B11K" in report.error.hint


def test_cases_for_masks_of_tokens():
    """Square, with every cell real, and fitted once for all."""
    for case in discriminating_cases("projected", seed=1):
        fitted = of_tokens(case, 1)
        shape = fitted.student.shape
        assert shape[2] == shape[3] == case.student.shape[3]
        assert fitted.weight.shape == (shape[2] ** 2,) * 2
        assert of_tokens(fitted, 1) is fitted
        if case.mask is not None:
            np.testing.assert_array_equal(fitted.mask, cells_of(tokens_of(fitted.mask)))


def test_numbers_in_masks():
    cells = broadcast_mask(np.tri(2, dtype=bool), (1, 1, 2, 2))
    for values, masked_out in (("additive", -65504.0), ("additive-inf", -np.inf), ("float", 0.0)):
        array, dtype = MaskForm("B1QK", values).array(cells, "float16")
        assert dtype == "float16"
        assert array.shape == (1, 1, 2, 2)
        assert array[0, 0, 0, 1] == masked_out


def test_inverted_masks_are_likely_only_where_the_name_says_so():
    likely, *_ = forms_to_try("attention_mask")
    assert all(form.values != "inverted" for form in likely)
    assert forms_to_try("key_padding_mask")[0][0] == MaskForm("BK", "inverted")


def test_cells_that_count_anew_are_empty_in_neither_map():
    """What was masked may hold anything, 0 in the student alone too: the loss would be infinite."""
    maps = np.full((2, 2, 5, 5), 0.2)
    mask = np.ones((2, 5, 5), dtype=bool)
    mask[:, 1, 3] = False
    # The row and the column of a token are real where its own cell is.
    student = np.where(mask[:, np.newaxis], maps, 0.0)
    teacher = np.where(mask[:, np.newaxis], maps, np.nan)
    fitted = of_tokens(Case("drawn", teacher, student, variant="kl", mask=mask), 1)
    assert np.array_equal(fitted.teacher, fitted.student)
    assert (fitted.student > 0).all()


@pytest.mark.parametrize("argument", ["attention_mask", "mask"])
def test_without_a_mask_all_tokens_are_real(port_file, argument):
    """Such a port makes the mask that it was not given, and wants square maps for it, too."""
    source = spoilt(
        RIGHT_TORCH_KL,
        "    if mask is not None:\n",
        "    keys = torch.ones_like(teacher[:, 0, 0]) if mask is None else mask\n"
        "    mask = (keys[:, :, None] * keys[:, None]).bool()\n"
        "    if True:\n",
    )
    report = judged(port_file(re.sub(r"\bmask\b", argument, source)))
    report.raise_if_failed()
    assert report.description.square_maps


def test_a_port_that_reads_the_first_row_takes_masks_of_tokens(port_file):
    source = spoilt(
        port("B11K", "additive", default=""),
        CELLS["B11K"],
        "real[:, 0, 0, :, None] & real[:, 0, 0, None]",
    )
    report = judged(port_file(source))
    report.raise_if_failed()
    assert report.description.mask_form == "B11K:additive"


@pytest.mark.parametrize("axes", ["BQK", "B1QK"])
def test_a_form_that_agrees_and_is_not_likely_is_told(port_file, axes):
    """Booleans work with this port, too, and mean the contrary."""
    kept = "(mask[:, 0] if mask.ndim == 4 else mask) >= 0"
    masked = "torch.where(mask[:, None], m, 0.0)"
    source = spoilt(RIGHT_TORCH_KL, "m.masked_fill(~mask[:, None], 0)", masked)
    source = spoilt(
        source, "    if mask is not None:\n", f"    if mask is not None:\n        mask = {kept}\n"
    )
    if axes == "B1QK":
        source = spoilt(source, "mask.ndim == 4 else mask", "mask.ndim == 4 else ~mask.bool()")
    report = judged(port_file(source))
    assert "mask" in [check.name for check in report.failed]
    assert f"say --mask-form {axes}:additive" in report.description.remark
    judged(port_file(source), mask_form=f"{axes}:additive").raise_if_failed()
