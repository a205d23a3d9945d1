"""One form for the answers of VQA v2, as its official evaluation has it.

Where the official program departs from what it says of itself, this follows the program: only a
text that has a mark next to a blank, or a comma within a number, loses its marks; elsewhere they
become blanks.
"""

import re

_MARKS = ';/[]"{}()=+\\_-><@`,?!'
_COMMA_IN_NUMBER = re.compile(r"\d,\d")
_FULL_STOP = re.compile(r"\.(?!\d)")
_ARTICLES = {"a", "an", "the"}
_NUMBERS = {
    "none": "0", "zero": "0", "one": "1", "two": "2", "three": "3", "four": "4", "five": "5",
    "six": "6", "seven": "7", "eight": "8", "nine": "9", "ten": "10",
}  # fmt: skip

_CONTRACTIONS = """
ain't aren't can't could've couldn't couldn't've didn't doesn't don't hadn't hadn't've hasn't
haven't he'd he'd've he's how'd how'll how's isn't it'd it'd've it'll ma'am mightn't mightn't've
might've mustn't must've needn't not've o'clock oughtn't 'ow's'at shan't she'd've should've
shouldn't shouldn't've somebody'd've somebody'll somebody's someone'd someone'd've someone'll
someone's something'd something'd've something'll that's there'd there'd've there're there's they'd
they'd've they'll they're they've 'twas wasn't we'd've we've weren't what'll what're what's what've
when's where'd where's where've who'd who'd've who'll who's who've why'll why're why's won't
would've wouldn't wouldn't've y'all y'all'll y'all'd've you'd you'd've you'll you're you've
"""


def _repairs() -> dict[str, str]:
    """Contractions by what they look like when one apostrophe is lost."""
    return {
        word[:place] + word[place + 1 :]: word
        for word in _CONTRACTIONS.split()
        for place, letter in enumerate(word)
        if letter == "'"
    } | {"somebody'd": "somebodyd"}  # so in the official list


_REPAIRS = _repairs()


def without_punctuation(text: str) -> str:
    """Take marks away, or put blanks in their place, and full stops but those in numbers."""
    stripped = text
    in_number = _COMMA_IN_NUMBER.search(text) is not None
    for mark in _MARKS:
        loose = in_number or f"{mark} " in text or f" {mark}" in text
        stripped = stripped.replace(mark, "" if loose else " ")
    return _FULL_STOP.sub("", stripped)


def normal_prediction(text: str) -> str:
    """Bring a prediction to the form that it is compared in.

    >>> normal_prediction("The two dogs.")
    '2 dogs'
    """
    words = without_punctuation(text.replace("\n", " ").replace("\t", " ").strip()).lower().split()
    numbered = [_NUMBERS.get(word, word) for word in words]
    return " ".join(_REPAIRS.get(word, word) for word in numbered if word not in _ARTICLES)
