"""The figures of the documentation's page, written by program, so that they cannot drift."""

import re
from collections.abc import Callable, Sequence
from typing import Any

from amad_study.report.findings import COLUMNS, finding_cells
from amad_study.report.markdown import escaped, folded, markdown_table
from amad_study.report.names import method_name, place_name, readable
from amad_study.report.of_sentences import told_of_sentences
from amad_study.report.picture_files import SHOWN, of_hypothesis, picture_files
from amad_study.report.tables import (
    OF_DIFFERENCES,
    RECIPE_REPEATED,
    beside_amad_table,
    crossed_tables,
    other_conditions,
    recipe_table,
    score_seeds,
    scores_table,
    way_tables,
)
from amad_study.report.told_first import told_first

Summary = dict[str, Any] | None
"""What `summarise` gives; `None` as long as there is nothing to show."""

_FEW = 12
"""Lines of a list that is shown at once."""

_OF_STRIPS = (
    "A dot is a seed, the diamond the mean, the bar its 95 % confidence interval; first "
    f"{' and then '.join(SHOWN)}. The others are drawn in the report."
)

_MARKED = re.compile(r"(<!-- figures: ([a-z]+) -->\n).*?(<!-- end of figures -->)", re.DOTALL)


def filled_page(text: str, summary: Summary) -> str:
    """The page with everything between its marks written anew.

    Raises:
        ValueError: results of the quick study; a mark that there are no figures for, or none.
    """
    if summary is not None and summary["quick"]:
        raise ValueError("results are of the quick study, expected those of the full one")

    def fill(found: re.Match[str]) -> str:
        start, name, end = found.groups()
        if name not in _FIGURES:
            raise ValueError(f"page has the mark {name!r}, expected {', '.join(_FIGURES)}")
        figures = _FIGURES[name](summary).strip()
        return f"{start}\n{figures}\n\n{end}" if figures else f"{start}{end}"

    filled, count = _MARKED.subn(fill, text)
    if not count:
        raise ValueError("page has no mark '<!-- figures: ... -->'")
    return filled


def _answer(summary: Summary) -> str:
    if summary is None or not summary["cells"]["done"]:
        return (
            "**No result is shown yet.** The protocol and the command stand; the runs that count "
            "have not been made, or not been looked at."
        )
    done, planned = summary["cells"]["done"], summary["cells"]["planned"]
    lines = []
    if done < planned:
        lines.append(
            f"**The runs are not complete: {done} of {planned} students.** What follows is "
            "preliminary.\n"
        )
    lines += [f"{sentence}\n" for sentence in told_first(summary)]
    lines += [
        f"{row}. *{escaped(line['asked'])}* **{line['word'].capitalize()}.** "
        f"{escaped(readable(line['told']))} ({line['hypothesis']})"
        for row, line in enumerate(summary["answer"], start=1)
    ]
    return "\n".join(lines)


def _scores(summary: Summary) -> str:
    if summary is None or not summary["cells"]["done"]:
        return "None yet."
    parts = [markdown_table(scores_table(summary["scores"]), "taught by")]
    if summary["beside AMAD"]:
        parts.append(OF_DIFFERENCES)
        parts.append(markdown_table(beside_amad_table(summary["beside AMAD"]), "AMAD, KL, minus"))
    for one in crossed_tables(summary["scores"]):
        parts.append(f"Pairing and divergence apart, {one['title']}:")
        parts.append(markdown_table(one, "heads are paired"))
    parts += [
        "Other methods and settings:",
        markdown_table(other_conditions(summary["scores"]), ""),
        folded(
            "Every student's main score, by seed",
            markdown_table(score_seeds(summary["scores"]), "on, taught by"),
        ),
    ]
    return "\n\n".join(parts)


def _way(summary: Summary) -> str:
    if summary is None or not summary["on the way"]:
        return "Nothing yet."
    return "\n\n".join(
        f"{one['title']}:\n\n{markdown_table(one, 'taught by')}"
        for one in way_tables(summary["on the way"])
    )


def _sentences(summary: Summary) -> str:
    return told_of_sentences(summary["sentences"]) if summary else ""


def _hypotheses(summary: Summary) -> str:
    if summary is None or not summary["cells"]["done"]:
        return "None is judged yet."
    pictures = [
        f"![{one['name']}: {escaped(one['sentence'])}](assets/{of_hypothesis(one['name'])})"
        for one in summary["hypotheses"]
        if of_hypothesis(one["name"]) in picture_files(summary)
    ]
    if pictures:
        pictures.insert(0, _OF_STRIPS)
    return "\n\n".join([*pictures, _judged(summary["hypotheses"])])


def _recipe(summary: Summary) -> str:
    if summary is None or not summary["recipe"]:
        return "None was looked for yet: not all settings have been tried."
    parts = [_chosen(summary["recipe"])]
    for name, told in RECIPE_REPEATED.items():
        again = summary[name]
        if again and any(one["differences"] for one in again["findings"]):
            parts += [f"{told}:", _chosen(again)]
    return "\n\n".join(parts)


def _own_weights(summary: Summary) -> str:
    if summary is None or not summary["own weights"]:
        return "Not all weights have been tried there yet."
    return _chosen(summary["own weights"])


def _chosen(found: dict[str, Any]) -> str:
    return f"{markdown_table(recipe_table(found['settings']), 'taught by')}\n\n{_judged([found])}"


def _judged(hypotheses: Sequence[dict[str, Any]]) -> str:
    lines = [f"| | {' | '.join(COLUMNS).rstrip()} |", f"|{'---|' * (len(COLUMNS) + 1)}"]
    for one in hypotheses:
        lines.append(
            f"| **{one['name']}** | {escaped(one['sentence'])} |||||| | **{one['word']}** |"
        )
        lines += [
            f"| {' | '.join(escaped(cell) for cell in ['', *finding_cells(finding)])} |"
            for finding in one["findings"]
        ]
    return "\n".join(lines)


def _open(summary: Summary) -> str:
    if summary is None or not summary["cells"]["done"]:
        return "All of it."
    lines = [
        f"- {method_name(one['method'])}, {place_name(one['family'], one['task'])}"
        f"{', ' + one['settings'] if one['settings'] else ''}: "
        f"{len(one['seeds'])} seed{'s' * (len(one['seeds']) > 1)} {what}"
        for part, what in (
            ("missing", "missing"),
            ("refused", "without a teacher, as the gate refused it"),
            ("diverged", "diverged, with a score of 0"),
        )
        for one in summary[part]
    ]
    of_sentences = summary["sentences"]
    if missing := of_sentences["planned"] - of_sentences["done"]:
        told = f"{missing} of {of_sentences['planned']} missing"
        lines.append(f"- students of MiniLM, an experiment of its own: {told}")
    if len(lines) > _FEW:
        return folded(f"{len(lines)} kinds of students", "\n".join(lines))
    return "\n".join(lines) or "Every student of the plan was trained."


def _runs(summary: Summary) -> str:
    if summary is None or not summary["runs"]["first"]:
        return "Nothing was run that counts."
    runs = summary["runs"]
    machines = "; ".join(
        f"{one['processor']}, {one['cores']} cores, {one['system']}" for one in runs["machines"]
    )
    versions = ", ".join(
        f"{name} {' and '.join(dict.fromkeys(one[name] for one in runs['versions']))}"
        for name in runs["versions"][0]
        if name != "cells"
    )
    return (
        f"{summary['cells']['done']} students, {runs['first'][:10]} to {runs['last'][:10]}, "
        f"{runs['hours']:.1f} hours of processor time. Machines: {escaped(machines)}. "
        f"Versions: {escaped(versions)}."
    )


_FIGURES: dict[str, Callable[[Summary], str]] = {
    "answer": _answer,
    "scores": _scores,
    "way": _way,
    "recipe": _recipe,
    "weights": _own_weights,
    "sentences": _sentences,
    "hypotheses": _hypotheses,
    "open": _open,
    "runs": _runs,
}
