"""One cell of sentences, from first weights to scores."""

import time
from functools import lru_cache
from pathlib import Path
from typing import Any

import torch

from amad_study.models.batches import rows
from amad_study.runs.methods import make_distiller
from amad_study.runs.plan import Work
from amad_study.runs.taught import Judge, teach_and_judge
from amad_study.sentences.bench import RememberedMaps, SentenceBench, make_bench
from amad_study.sentences.cell import SentenceCell
from amad_study.sentences.corpus import corpus_of, installed_sentences
from amad_study.sentences.minilm import CHECKSUMS, find_minilm, load_minilm
from amad_study.sentences.student import SentenceStudent, scores_of

VALIDATION_SENTENCES = 500
_CURVE_POINTS = 4


@lru_cache(maxsize=1)
def bench_of(
    where: str | None, layers: int, train_sentences: int, test_sentences: int
) -> SentenceBench:
    """The sentences of a cell and what MiniLM says to them; every seed has the same.

    Args:
        where: see `find_minilm`.
        layers: of the student.
        train_sentences, test_sentences: how many.
    """
    corpus = corpus_of(
        set(installed_sentences()),
        train=train_sentences,
        validation=VALIDATION_SENTENCES,
        test=test_sentences,
    )
    return make_bench(corpus, *load_minilm(find_minilm(where)), layers=layers)


def bench_for(cell: SentenceCell, where: str | None = None) -> SentenceBench:
    """The bench that a cell's student learns at."""
    return bench_of(where, cell.layers, cell.train_sentences, cell.test_sentences)


def run_sentence_cell(cell: SentenceCell, bench: SentenceBench) -> dict[str, Any]:
    """Train and judge the student of a cell.

    Returns:
        as `amad_study.runs.student.run_cell` does, with a curve of four points on all validation
        sentences, and `corpus`, the checksum of the sentences.
    """
    torch.set_num_threads(1)
    started = time.process_time()
    with torch.random.fork_rng():
        torch.manual_seed(cell.seed)
        student = SentenceStudent(cell, words=bench.words, target_width=bench.target_width)
    distiller = make_distiller(
        cell.method,
        teacher=RememberedMaps(bench, cell.seed),
        student=student,
        example=rows(bench.train, slice(0, cell.batch_size)),
        output_weight=0.0,
    )
    judge = Judge(
        "cosine",
        on_the_way=lambda: scores_of(student, bench.validation)["cosine"],
        at_the_end=lambda: scores_of(student, bench.test),
        times=_CURVE_POINTS,
    )
    record = teach_and_judge(cell, distiller, bench.train, judge, started=started)
    return {**record, "corpus": bench.corpus}


class WorkOnSentences(Work[SentenceCell]):
    """MiniLM's students; each process asks it for itself.

    Args:
        where: MiniLM is, see `find_minilm`.
    """

    def __init__(self, where: str | None = None) -> None:
        self.where = where

    def run(self, cell: SentenceCell, teachers: Path) -> dict[str, Any]:
        """See `run_sentence_cell`."""
        return run_sentence_cell(cell, bench_for(cell, self.where))

    def facts(self, cell: SentenceCell, teachers: Path) -> dict[str, Any]:
        """The one teacher; its weights were checked when they were read."""
        return {"name": "MiniLM-L6", "sha256": CHECKSUMS["model.safetensors"]}
