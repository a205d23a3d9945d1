"""What can be had without looking: the scores of answers that know the text alone."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import replace

from amad_study.data.example import Example


def text_only_answers(train: Sequence[Example], test: Sequence[Example]) -> list[str]:
    """To each source, the target that it had most often in training.

    For a source that was never seen, the most frequent target of its kind, and of all for a kind
    that was never seen; of equals the one that came first.
    """
    by_source: dict[str, Counter[str]] = defaultdict(Counter)
    by_kind: dict[str, Counter[str]] = defaultdict(Counter)
    overall: Counter[str] = Counter()
    for example in train:
        by_source[example.source][example.target] += 1
        by_kind[example.kind][example.target] += 1
        overall[example.target] += 1
    counters = (by_source.get(one.source) or by_kind.get(one.kind) or overall for one in test)
    return [counter.most_common(1)[0][0] for counter in counters]


def text_only_translations(train: Sequence[Example], test: Sequence[Example]) -> list[str]:
    """The right translation, but for the words that the source leaves open: those are guessed.

    Each is the choice that it had most often in training in the same source; where that was never
    seen, in all sources of the kind at the same place.
    """
    seen: dict[object, Counter[str]] = defaultdict(Counter)
    for example in train:
        words = example.target.split()
        for slot in example.ambiguities:
            for key in ((example.source, slot.place), (example.kind, slot.place, slot.choices)):
                seen[key][words[slot.place]] += 1
    translations = []
    for example in test:
        words = example.target.split()
        for slot in example.ambiguities:
            counter = seen.get((example.source, slot.place)) or seen.get(
                (example.kind, slot.place, slot.choices)
            )
            guess = counter.most_common(1)[0][0] if counter else slot.choices[0]
            words[slot.place] = guess
        translations.append(" ".join(words))
    return translations


def with_pictures_of_others(examples: Sequence[Example]) -> list[Example]:
    """The same texts about the picture of the next example: a model that looks does worse."""
    pictures = [example.picture for example in examples]
    return [
        replace(example, picture=picture)
        for example, picture in zip(examples, [*pictures[1:], *pictures[:1]], strict=True)
    ]
