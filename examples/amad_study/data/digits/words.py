"""The words for digits and places that all three tasks share."""

DIGITS = tuple("0123456789")
ROWS = ("top", "middle", "bottom")
COLUMNS = ("left", "centre", "right")
