"""What every score asks of its arguments."""

from collections.abc import Sized


def check_same_number(predictions: Sized, references: Sized) -> None:
    """Refuse predictions that cannot be told apart by their place.

    Raises:
        ValueError: there are none, or not as many as references; a text instead of a list.
    """
    if isinstance(predictions, str):
        raise ValueError("predictions is one text, expected a list of texts, one an example")
    if len(predictions) != len(references):
        raise ValueError(
            f"predictions holds {len(predictions)} texts for {len(references)} examples; give one "
            "for each, in the same order"
        )
    if not len(predictions):
        raise ValueError("predictions is empty, and no score is defined of nothing")
