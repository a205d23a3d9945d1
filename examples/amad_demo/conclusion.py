"""What the numbers say, in words: AMAD is only called ahead where it is."""

from statistics import mean

from amad_demo.methods import METHODS
from amad_demo.results import Results

LEARNED = 5.0
"""A student that beats blind guessing by less than five points has learned nothing to speak of."""

LEVEL = 0.5
"""A mean difference of less than half a point counts as no difference."""

IN_THE_STUDY = (
    "In the study, with these settings and three teachers, AMAD was 2.0 points ahead of one-to-one "
    "on sixteen seeds (95 % interval +0.6 to +3.3), and 0.6 on 32 further ones (-0.2 to +1.4), "
    "which the tests do not find; nor do they its leads on the mean of all heads, +1.7 and then "
    "+0.9. Those on the best match, 3.4 and then 3.2, they find both times. docs/does-it-work.md "
    "has all of it."
)
"""What this small run cannot decide; a test holds it to the study's results."""


def conclude(results: Results) -> list[str]:
    """Put the results into sentences, the verdict first.

    Every case is told: ahead, behind, level, seeds that disagree, a single seed, and students
    that have not learned enough for a comparison to mean anything.
    """
    blind = results.teacher["blind_accuracy"]
    best = max(mean(accuracies(results, method).values()) for method in METHODS)
    if best < blind + LEARNED:
        return [
            f"No verdict: these students have hardly learned anything yet. The best of them "
            f"answers {best:.1f} % right, and guessing without the picture scores {blind:.1f} %. "
            "Train for more steps.",
            *_attention_sentences(results),
        ]
    rivals = [method for method in METHODS if method != "amad"]
    comparisons = [_compare(results, rival) for rival in rivals]
    return [
        _verdict([outcome for outcome, _ in comparisons], len(accuracies(results, "amad"))),
        *[sentence for _, sentence in comparisons],
        *_attention_sentences(results),
        IN_THE_STUDY,
    ]


def accuracies(results: Results, method: str) -> dict[int, float]:
    """Return accuracy by seed."""
    return {student.seed: student.accuracy for student in results.of_method(method)}


def _verdict(outcomes: list[str], seeds: int) -> str:
    if all(outcome == "ahead" for outcome in outcomes):
        if seeds == 1:
            return (
                "AMAD is ahead of both others on the only seed; that may be luck, run more seeds."
            )
        return f"AMAD is ahead of both others on every one of {seeds} seeds, in this small run."
    return "AMAD is not clearly ahead of both others in this small run."


def _compare(results: Results, rival: str) -> tuple[str, str]:
    """Compare AMAD with a rival, seed by seed: same initialisation, same data, same order."""
    own, other = accuracies(results, "amad"), accuracies(results, rival)
    differences = [own[seed] - other[seed] for seed in sorted(own)]
    difference, count = mean(differences), len(differences)
    name, points = METHODS[rival].title.lower(), f"{abs(difference):.1f} points"
    ahead = sum(value > 0 for value in differences)
    behind = sum(value < 0 for value in differences)
    if abs(difference) < LEVEL:
        return "level", f"AMAD and {name} are level ({difference:+.1f} points)."
    if count == 1:
        outcome = "ahead" if difference > 0 else "behind"
        place = "ahead of" if difference > 0 else "behind"
        return outcome, f"AMAD is {points} {place} {name}, on a single seed."
    spread = f"on average ({min(differences):+.1f} to {max(differences):+.1f})"
    if ahead == count:
        return "ahead", f"AMAD is ahead of {name} on all {count} seeds, by {points} {spread}."
    if behind == count:
        return "behind", f"AMAD is behind {name} on all {count} seeds, by {points} {spread}."
    direction = "more" if difference > 0 else "fewer"
    return "mixed", (
        f"AMAD against {name}: ahead on {ahead} of {count} seeds, {points} {direction} {spread}; "
        "the seeds disagree, so this run shows no difference."
    )


def _attention_sentences(results: Results) -> list[str]:
    losses = {
        method: mean(student.amad_loss for student in results.of_method(method))
        for method in METHODS
    }
    best = min(losses, key=lambda method: losses[method])
    listed = ", ".join(f"{METHODS[name].title} {loss:.2f}" for name, loss in losses.items())
    if best == "amad":
        return [f"As intended, AMAD's students come closest in AMAD's own measure ({listed})."]
    return [
        f"Even in AMAD's own measure, AMAD's students do not come closest: "
        f"{METHODS[best].title} does ({listed})."
    ]
