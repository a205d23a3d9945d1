"""A small task without a network: a tokenizer, a saved teacher, and reviews in files."""

import csv
import random
from pathlib import Path
from typing import Any

GOOD, BAD = ("fine", "lovely", "great"), ("dull", "awful", "poor")
OTHER = ("the", "film", "was", "and", "very", "plot", "cast")


def save_tokenizer(folder: Path) -> int:
    """A tokenizer of whole words; returns how many it has."""
    from tokenizers import Tokenizer, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    words = ["[PAD]", "[UNK]", *GOOD, *BAD, *OTHER]
    known = {word: number for number, word in enumerate(words)}
    tokenizer = Tokenizer(models.WordLevel(known, unk_token="[UNK]"))
    tokenizer.pre_tokenizer = pre_tokenizers.Whitespace()
    PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, pad_token="[PAD]", unk_token="[UNK]"
    ).save_pretrained(folder)
    return len(words)


def save_teacher(folder: Path) -> None:
    """A classifier of four layers with six heads, whose labels have names, and its tokenizer."""
    import torch
    from transformers import BertConfig, BertForSequenceClassification

    sizes: dict[str, Any] = {"hidden_size": 48, "intermediate_size": 64}
    config = BertConfig(
        vocab_size=save_tokenizer(folder),
        num_hidden_layers=4,
        num_attention_heads=6,
        label2id={"bad": 0, "good": 1},
        id2label={0: "bad", 1: "good"},
        max_position_embeddings=40,
        **sizes,
    )
    torch.manual_seed(0)
    BertForSequenceClassification(config).save_pretrained(folder)


def save_reviews(path: Path, count: int, seed: int) -> None:
    """Rows ``review,verdict`` whose verdict one word decides."""
    draw = random.Random(seed)
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["review", "verdict"])
        for _ in range(count):
            good = draw.random() < 0.5
            words = [*draw.choices(OTHER, k=draw.randint(3, 8)), draw.choice(GOOD if good else BAD)]
            draw.shuffle(words)
            rows.writerow([" ".join(words), "good" if good else "bad"])
