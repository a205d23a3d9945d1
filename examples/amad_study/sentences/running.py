"""One cell of sentences, from first weights to scores."""

import time
from functools import lru_cache
from typing import Any

import torch

from amad_study.models.batches import rows
from amad_study.models.training import train
from amad_study.runs.looks import gradient_parity, look_at_heads
from amad_study.runs.methods import make_distiller
from amad_study.sentences.bench import RememberedMaps, SentenceBench, make_bench
from amad_study.sentences.cell import SentenceCell
from amad_study.sentences.corpus import corpus_of, installed_sentences
from amad_study.sentences.minilm import find_minilm, load_minilm
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
    fixed = rows(bench.train, slice(0, cell.batch_size))
    distiller = make_distiller(
        cell.method,
        teacher=RememberedMaps(bench, cell.seed),
        student=student,
        example=fixed,
        output_weight=0.0,
    )
    parity = gradient_parity(distiller, fixed) if cell.has_attention else 0.0
    distiller.attention_weight = cell.weight * parity
    judged_at = {round(cell.steps * point / _CURVE_POINTS) for point in range(1, _CURVE_POINTS + 1)}
    curve: list[tuple[int, float]] = []

    def after(step: int, _: dict[str, float]) -> None:
        if step in judged_at:
            curve.append((step, scores_of(student, bench.validation)["cosine"]))

    record: dict[str, Any] = {
        "cell": cell.as_json(),
        "main score": "cosine",
        "corpus": bench.corpus,
        "curve": curve,
        "parity": parity,
        "heads": {"before": look_at_heads(distiller, fixed)},
    }
    try:
        train(distiller, bench.train, cell.training, seed=cell.seed, on_step=after)
    except FloatingPointError as error:
        return {**record, "diverged": str(error), "seconds": time.process_time() - started}
    record["heads"]["after"] = look_at_heads(distiller, fixed)
    return {
        **record,
        "scores": scores_of(student, bench.test),
        "seconds": time.process_time() - started,
    }
