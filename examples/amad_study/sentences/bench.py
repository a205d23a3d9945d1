"""Sentences as tensors, with what MiniLM says to each: asked once, and held in memory."""

# mypy: allow-untyped-calls
# (some of what is called here has no annotations upstream)

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from tokenizers import Tokenizer
from torch import Tensor
from transformers import BertModel

from amad_core.training.layers import layer_pairs
from amad_study.models.batches import Batch, count, rows
from amad_study.sentences.corpus import Corpus
from amad_study.sentences.minilm import mean_of_tokens
from amad_torch import capture_attention
from amad_torch.cache.teacher_output import StoredTeacher, TeacherOutput
from amad_torch.capture.captured import CapturedAttention
from amad_torch.capture.layer_attention import LayerAttention

LONGEST = 20
"""Tokens of a sentence, with the two that begin and end it; longer ones are cut, for both."""

PAD, UNKNOWN = 0, 1
"""Numbers of the student's words: of padding, and of those that no training sentence has."""

ROW = "row"
_AT_ONCE = 200


@dataclass(frozen=True, eq=False)
class SentenceBench:
    """What is needed to train and judge the students of one teacher.

    Attributes:
        train: `input_ids` and `attention_mask` `[N, L]`, `target`, the teacher's embeddings
            `[N, width]`, and `row`, the number of the sentence.
        validation, test: the same without the last.
        maps: the teacher's attention to the training sentences `[N, H, L, L]`, by path, of as many
            of its layers as a student has, evenly spread.
        words: how many the students know.
        corpus: checksum of all sentences.
    """

    train: Batch
    validation: Batch
    test: Batch
    maps: Mapping[str, Tensor]
    words: int
    corpus: str

    @property
    def target_width(self) -> int:
        """Of the teacher's embeddings."""
        return self.train["target"].shape[1]


def make_bench(
    corpus: Corpus, teacher: BertModel, tokenizer: Tokenizer, *, layers: int
) -> SentenceBench:
    """Ask the teacher about all sentences, and about the training ones what it attends to.

    Students have the teacher's tokens, but only those that training sentences have: the others
    would be the greater part of their weights.

    Args:
        corpus: the sentences.
        teacher: in eval mode.
        tokenizer: its own.
        layers: of the students.
    """
    tokenizer.enable_truncation(LONGEST)
    tokenizer.enable_padding(length=LONGEST)
    splits = {
        name: _tokens(tokenizer, getattr(corpus, name)) for name in ("train", "validation", "test")
    }
    known = splits["train"]["input_ids"].unique()
    numbers = torch.full((teacher.config.vocab_size,), UNKNOWN)
    numbers[known] = torch.arange(len(known)) + UNKNOWN + 1
    maps = _ask(teacher, splits["train"], layers)
    for split in (splits["validation"], splits["test"]):
        _ask(teacher, split, 0)
    for split in splits.values():
        split["input_ids"] = numbers[split["input_ids"]].where(split["attention_mask"] > 0, PAD)
    splits["train"][ROW] = torch.arange(len(corpus.train))
    return SentenceBench(**splits, maps=maps, words=len(known) + UNKNOWN + 1, corpus=corpus.sha256)


class RememberedMaps(StoredTeacher):
    """The teacher's maps of the training sentences, its heads in an order drawn from a seed."""

    def __init__(self, bench: SentenceBench, seed: int) -> None:
        self.named_by, self.index = (ROW,), ROW
        self._maps = bench.maps
        random = torch.Generator().manual_seed(seed)
        self._orders = {
            path: torch.randperm(maps.shape[1], generator=random)
            for path, maps in bench.maps.items()
        }

    def read(
        self, batch: Mapping[str, Any], *, attention: bool = True, logits: bool = True
    ) -> TeacherOutput:
        """What the teacher attends to in the sentences of a batch; it has no logits."""
        chosen = batch[ROW]
        captured = {
            path: LayerAttention(
                path, "self", None, requires_grad=False, maps=maps[chosen][:, self._orders[path]]
            )
            for path, maps in self._maps.items()
            if attention
        }
        return TeacherOutput(CapturedAttention(captured) if attention else None, None)


def _tokens(tokenizer: Tokenizer, sentences: Sequence[str]) -> Batch:
    encoded = tokenizer.encode_batch(list(sentences))
    return {
        "input_ids": torch.tensor([one.ids for one in encoded]),
        "attention_mask": torch.tensor([one.attention_mask for one in encoded]),
    }


@torch.no_grad()
def _ask(teacher: BertModel, split: Batch, layers: int) -> dict[str, Tensor]:
    """Adds `target` to a split; returns maps of so many layers, joined over the sentences."""
    targets: list[Tensor] = []
    parts: dict[str, list[Tensor]] = {path: [] for path in _paths(teacher, split, layers)}
    for first in range(0, count(split), _AT_ONCE):
        batch = rows(split, slice(first, first + _AT_ONCE))
        if parts:
            with capture_attention(teacher, modules=list(parts)) as captured:
                states = teacher(**batch).last_hidden_state
            for path, maps in parts.items():
                maps.append(captured[path].maps)
        else:
            states = teacher(**batch).last_hidden_state
        targets.append(mean_of_tokens(states, batch["attention_mask"]))
    split["target"] = torch.cat(targets)
    return {path: torch.cat(maps) for path, maps in parts.items()}


def _paths(teacher: BertModel, split: Batch, layers: int) -> list[str]:
    if not layers:
        return []
    with capture_attention(teacher) as captured:
        teacher(**rows(split, slice(0, 1)))
    paths = list(captured)
    pairs = layer_pairs("uniform", teacher_layers=len(paths), student_layers=layers)
    return [paths[pair.teacher] for pair in pairs]
