"""BLEU, by sacrebleu."""

from collections.abc import Sequence

from amad_study.data.scores.checks import check_same_number


def bleu(predictions: Sequence[str], references: Sequence[Sequence[str]]) -> float:
    """Corpus BLEU in percent, with sacrebleu's own settings (`bleu_signature`).

    Args:
        predictions: `N` texts.
        references: one or more right texts for each; not all need have as many.

    Raises:
        ValueError: none, or not one prediction for each example; an example without reference.
    """
    check_same_number(predictions, references)
    if not all(references):
        raise ValueError(
            f"references[{[bool(right) for right in references].index(False)}] is empty; BLEU "
            "needs at least one right text for each example"
        )
    from sacrebleu.metrics.bleu import BLEU

    most = max(map(len, references))
    # sacrebleu wants the first references of all, then the second; one given twice counts once.
    columns = [
        [right[min(column, len(right) - 1)] for right in references] for column in range(most)
    ]
    # force: no warning that words are apart already, which those of the scenes are.
    return float(BLEU(force=True).corpus_score(list(predictions), columns).score)


def bleu_signature(references: int = 1) -> str:
    """What has to be reported with a BLEU score: sacrebleu's signature of it."""
    from sacrebleu.metrics.bleu import BLEU

    metric = BLEU(force=True)
    metric.corpus_score(["a"], [["a"]] * references)
    return str(metric.get_signature())
