"""The report as JUnit XML, which continuous integration shows check by check."""

from xml.etree import ElementTree

from amad_core.conformance.judging.checks.result import FAILED, SKIPPED
from amad_core.conformance.reports.report import Report


def as_junit(report: Report) -> str:
    """One test suite, one test case a check."""
    suite = ElementTree.Element(
        "testsuite",
        name="amad verify",
        tests=str(max(len(report.checks), 1)),
        failures=str(len(report.failed)),
        errors="0" if report.error is None else "1",
        skipped=str(len(report.of_status(SKIPPED))),
        time=f"{report.seconds:.3f}",
    )
    if report.error is not None:
        case = ElementTree.SubElement(
            suite, "testcase", classname=_clean(report.target), name="load"
        )
        problem = ElementTree.SubElement(
            case, "error", type=report.error.kind, message=_clean(report.error.message)
        )
        problem.text = _clean(report.error.hint)
    for check in report.checks:
        case = ElementTree.SubElement(
            suite,
            "testcase",
            classname=_clean(report.target),
            name=check.name,
            time=f"{check.seconds:.3f}",
        )
        if check.status == FAILED:
            problem = ElementTree.SubElement(case, "failure", message=_clean(check.detail))
            problem.text = _clean(_explanation(report))
        elif check.status == SKIPPED:
            ElementTree.SubElement(case, "skipped", message=_clean(check.detail))
        elif check.detail:
            ElementTree.SubElement(case, "system-out").text = _clean(check.detail)
    root = ElementTree.Element("testsuites")
    root.append(suite)
    ElementTree.indent(root)
    return ElementTree.tostring(root, encoding="unicode", xml_declaration=True) + "\n"


def _explanation(report: Report) -> str:
    lines = [
        f"{explanation.name}: {explanation.sentence} {explanation.mend}".strip()
        for explanation in report.explanations
    ]
    return "\n".join([*lines, *report.hints, *report.facts])


def _clean(text: str) -> str:
    """Without the control characters that XML 1.0 has no way to write."""
    return "".join(
        character
        for character in text
        if character in "\t\n\r"
        or (
            ord(character) >= 32
            and not 0xD800 <= ord(character) <= 0xDFFF
            and ord(character) not in (0xFFFE, 0xFFFF)
        )
    )
