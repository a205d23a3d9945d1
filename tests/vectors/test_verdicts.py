"""Results from files get the verdict and the diagnosis that a Python port would get."""

import json
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from amad_core.conformance.diagnosis import explanation
from amad_core.conformance.diagnosis.mistakes import mistake
from amad_core.conformance.diagnosis.pipeline import observe, stages_with
from amad_core.conformance.inputs.case import Case
from amad_core.conformance.judging.checks.result import CheckResult
from amad_core.conformance.judging.judgement import Judgement, specified
from amad_core.conformance.ports.answer import Answer
from amad_core.conformance.reports.explanation import NOTHING_FOUND, Findings
from amad_core.conformance.reports.report import Report
from amad_core.conformance.vectors import check
from amad_core.conformance.vectors.check import check_results
from amad_core.conformance.vectors.files import Golden, shipped_vectors
from tests.vectors.result_files import Document, results_document, written

pytestmark = pytest.mark.xdist_group("vectors")


def _report(document: Document, path: Path) -> Report:
    (report,) = check_results(written(document, path / "results.json"))
    return report


@pytest.fixture
def nothing_explains_gradients(monkeypatch: pytest.MonkeyPatch) -> None:
    """The diagnosis as it ends, after a long search, where a gradient is of no known mistake."""

    def quick(judgements: Sequence[Judgement], failed: Sequence[CheckResult]) -> Findings:
        if any(judgement.answer.grad_student is not None for judgement in judgements):
            return NOTHING_FOUND
        return explanation.explained(judgements, failed)

    monkeypatch.setattr(check, "explained", quick)


def _status(report: Report, name: str) -> str:
    return next(check.status for check in report.checks if check.name == name)


def _with_mistake(name: str):
    stages = stages_with(mistake(name).forms[0].mutation)

    def answer(case: Case) -> Answer:
        right = specified(case)
        assert right.value is not None
        return observe(case, stages) if np.isfinite(right.value).all() else right

    return answer


@pytest.mark.parametrize("variant", ["mse", "kl", "js", "token", "projected"])
def test_right_results_are_right(variant: str, tmp_path: Path) -> None:
    report = _report(results_document(shipped_vectors(variant), specified), tmp_path)
    assert report.passed, str(report)
    assert report.exit_code == 0
    assert _status(report, "gradient") == "passed"


def test_right_values_alone_are_right(golden_kl: Golden, tmp_path: Path) -> None:
    report = _report(results_document(golden_kl, specified, gradients=False), tmp_path)
    assert report.passed, str(report)
    assert _status(report, "gradient") == "skipped"


def test_float32_results_are_right_as_float32_and_wrong_as_float64(
    golden_kl: Golden, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(check, "explained", lambda judgements, failed: NOTHING_FOUND)

    def rounded(case: Case) -> Answer:
        right = specified(case)
        value = np.asarray(right.value)
        return Answer(np.asarray(value * (1 + 1e-6)))

    document = results_document(golden_kl, rounded, gradients=False)
    assert _report(document | {"dtype": "float32"}, tmp_path).passed
    assert not _report(document, tmp_path).passed


@pytest.mark.thin(2)
@pytest.mark.parametrize(
    "name",
    [
        "mean-over-heads",
        "weights-detached",
        "softmax-over-teacher-heads",
        "gradient-into-the-teacher",
    ],
)
def test_mistakes_are_named(name: str, golden_kl: Golden, tmp_path: Path) -> None:
    report = _report(results_document(golden_kl, _with_mistake(name)), tmp_path)
    assert report.exit_code == 1
    assert [known.name for known in report.explanations] == [name], str(report)
    assert report.explanations[0].mend == mistake(name).mend


@pytest.mark.usefixtures("nothing_explains_gradients")
def test_a_mistake_with_a_wrong_gradient_of_its_own_is_named_by_its_values(
    golden_kl: Golden, tmp_path: Path
) -> None:
    answer = _with_mistake("mean-over-heads")

    def half(case: Case) -> Answer:
        found = answer(case)
        assert found.grad_student is not None
        return replace(found, grad_student=found.grad_student**3)

    report = _report(results_document(golden_kl, half), tmp_path)
    assert [known.name for known in report.explanations] == ["mean-over-heads"]
    assert any("values are those of this mistake" in hint for hint in report.hints)


def test_missing_cases_are_reported(golden_kl: Golden, tmp_path: Path) -> None:
    document = results_document(golden_kl, specified)
    del document["results"]["kl-disjoint"], document["results"]["kl-causal"]
    report = _report(document, tmp_path)
    assert report.exit_code == 1
    (failed,) = report.failed
    assert failed.name == "complete"
    assert failed.failed_cases == 2
    assert "kl-disjoint" in failed.detail
    assert "kl-causal" in failed.detail


def test_skipped_cases_are_named_and_do_not_count(golden_kl: Golden, tmp_path: Path) -> None:
    document = results_document(golden_kl, specified)
    document["results"]["kl-floor"] = {"skipped": "the port has no eps"}
    report = _report(document, tmp_path)
    assert report.passed
    assert "the port has no eps" in str(report)
    assert "kl-floor" in str(report)


def test_a_case_that_the_port_could_not_answer_is_wrong(golden_kl: Golden, tmp_path: Path) -> None:
    document = results_document(golden_kl, specified)
    document["results"]["kl-rect-1"] = {"error": "index out of range"}
    report = _report(document, tmp_path)
    assert not report.passed
    assert "index out of range" in str(report)


def test_weights_show_where_the_mistake_is(golden_kl: Golden, tmp_path: Path) -> None:
    document = results_document(golden_kl, specified)
    for case_id, weights in golden_kl.weights.items():
        document["results"][case_id]["weights"] = weights.tolist()
    assert _status(_report(document, tmp_path), "weights") == "passed"

    wrong = golden_kl.weights["kl-rect-1"].copy()
    wrong[1, 2, 0] *= 1.001
    document["results"]["kl-rect-1"]["weights"] = wrong.tolist()
    report = _report(document, tmp_path)
    assert _status(report, "weights") == "failed"
    assert "[1, 2, 0]" in str(report)


def test_a_floor_of_its_own_is_a_decision_of_the_port(golden_kl: Golden, tmp_path: Path) -> None:
    document = results_document(golden_kl, specified, gradients=False)
    document["results"]["kl-no-common-cell"]["value"] = 700.0
    report = _report(document, tmp_path)
    assert report.passed
    assert _status(report, "infinite") == "decision"


def test_nan_is_wrong(golden_kl: Golden, tmp_path: Path) -> None:
    document = results_document(golden_kl, specified, gradients=False)
    document["results"]["kl-causal"]["value"] = "nan"
    report = _report(document, tmp_path)
    assert not report.passed
    assert "NaN" in str(report)


def test_a_directory_of_results_is_one_set(golden_kl: Golden, tmp_path: Path) -> None:
    document = results_document(golden_kl, specified)
    entries = sorted(document["results"].items())
    for index, part in enumerate((entries[:10], entries[10:])):
        written(document | {"results": dict(part)}, tmp_path / f"part-{index}.json")
    (report,) = check_results(tmp_path)
    assert report.passed, str(report)


def test_a_demanded_variant_must_be_answered(golden_kl: Golden, tmp_path: Path) -> None:
    path = written(results_document(golden_kl, specified), tmp_path / "results.json")
    reports = check_results(path, variants=["mse", "kl"])
    assert {report.terms.variant: report.passed for report in reports} == {"mse": False, "kl": True}


def test_the_report_is_plain_json(golden_kl: Golden, tmp_path: Path) -> None:
    document = results_document(golden_kl, specified, gradients=False)
    document["results"]["kl-causal"]["value"] = "nan"
    json.dumps(_report(document, tmp_path).to_json(), allow_nan=False)


def test_results_that_leave_every_case_out_are_not_right(tmp_path: Path) -> None:
    document = results_document(shipped_vectors("kl"), specified)
    document["results"] = {name: {"skipped": "not yet"} for name in document["results"]}
    report = _report(document, tmp_path)
    assert report.verdict == "wrong"
    assert report.failed[0].detail == "every case is left out: nothing was judged"
