"""The report as JUnit XML, which continuous integration shows check by check."""

from xml.etree import ElementTree

from amad_core.conformance.judging.checks.result import FAILED, SKIPPED
from amad_core.conformance.reports.report import Report
from amad_core.conformance.reports.rows import printable


def as_junit(report: Report) -> str:
    """One test suite, one test case a check."""
    root = ElementTree.Element("testsuites")
    suite = ElementTree.SubElement(
        root,
        "testsuite",
        name="amad verify",
        tests=str(max(len(report.checks), 1)),
        failures=str(len(report.failed)),
        errors="0" if report.error is None else "1",
        skipped=str(len(report.of_status(SKIPPED))),
        time=f"{report.seconds:.3f}",
    )
    if report.error is not None:
        case = _case(suite, report, "load", report.seconds)
        _told(case, "error", report.error.message, report.error.hint).set("type", report.error.kind)
    found = report.findings
    for check in report.checks:
        case = _case(suite, report, check.name, check.seconds)
        if check.status == FAILED:
            _told(case, "failure", check.detail, f"{found.names}\n{found.advice}")
        elif check.status == SKIPPED:
            _told(case, "skipped", check.detail)
        elif check.detail:
            ElementTree.SubElement(case, "system-out").text = printable(check.detail)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _case(
    suite: ElementTree.Element, report: Report, name: str, seconds: float
) -> ElementTree.Element:
    return ElementTree.SubElement(
        suite, "testcase", classname=printable(report.target), name=name, time=f"{seconds:.3f}"
    )


def _told(
    case: ElementTree.Element, kind: str, message: str, text: str = ""
) -> ElementTree.Element:
    told = ElementTree.SubElement(case, kind, message=printable(message))
    told.text = printable(text) or None
    return told
