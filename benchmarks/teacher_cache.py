"""Measures what a teacher cache saves, and what it costs on disk and in accuracy.

Run as ``python -m benchmarks.teacher_cache``. Each row is a teacher and its data. A training step
of a ``Distiller`` with the live teacher and with each cache are timed in turns, in one process with
one thread: the ratio is the median over rounds of cached to live. The models have the sizes that
their names say, and random weights: these change neither time nor size. Queries and keys of trained
teachers are larger than those of random ones, so errors there may be larger than here; a build
tells its own.
"""

import argparse
import json
import os
import platform
import tempfile
import time
from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from importlib.metadata import version
from pathlib import Path
from statistics import median
from typing import Any

import torch
import transformers

from amad_core.files import write_atomically
from amad_torch import Distiller, TeacherCache, cache_teacher

RESULTS = Path(__file__).parent / "results" / "teacher_cache"

KINDS = [
    (what, dtype)
    for what in ("maps", "queries_and_keys")
    for dtype in (torch.float32, torch.float16, torch.bfloat16)
]


def bert(layers: int, width: int, heads: int) -> Any:
    """A classifier of texts of up to 512 tokens."""
    return transformers.BertForSequenceClassification(
        transformers.BertConfig(
            num_hidden_layers=layers,
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=4 * width,
        )
    )


def vit(layers: int, width: int, heads: int) -> Any:
    """A classifier of images of 224 by 224 pixels, in 197 tokens."""
    return transformers.ViTForImageClassification(
        transformers.ViTConfig(
            num_hidden_layers=layers,
            hidden_size=width,
            num_attention_heads=heads,
            intermediate_size=4 * width,
        )
    )


def texts(samples: int, tokens: int) -> dict[str, Any]:
    """A batch without padding, of which the cache would save more."""
    ids = torch.randint(1000, 30000, (samples, tokens))
    mask = torch.ones_like(ids)
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.randint(2, (samples,))}


def images(samples: int) -> dict[str, Any]:
    """A batch of images."""
    pixels = torch.randn(samples, 3, 224, 224)
    return {"pixel_values": pixels, "labels": torch.randint(2, (samples,))}


SETTINGS: dict[str, tuple[Callable[..., Any], Callable[[], dict[str, Any]], str | None]] = {
    "BERT-base, 128 tokens, 4 texts": (bert, lambda: texts(4, 128), None),
    "BERT-base, 512 tokens, 1 text": (bert, lambda: texts(1, 512), None),
    "ViT-B/16, 2 images": (vit, lambda: images(2), None),
    "ViT-B/16, 2 images by number": (vit, lambda: images(2), "index"),
}
"""Name to models, one batch, and the entry by which samples are known."""


def measure(name: str, rounds: int, folder: Path) -> Iterator[dict[str, Any]]:
    """One setting: a row for each kind of cache."""
    models, make_batch, index = SETTINGS[name]
    torch.manual_seed(0)
    teacher, student = models(12, 768, 12).eval(), models(6, 384, 6).eval()
    plain = make_batch()
    samples = len(plain["labels"])
    batch = plain if index is None else plain | {index: torch.arange(samples)}
    caches, building = {}, {}
    for what, dtype in KINDS:
        begun = time.process_time()
        caches[what, dtype] = cache_teacher(
            teacher=teacher, batches=[batch], folder=folder / f"{what} {dtype}", what=what,
            dtype=dtype, index=index,
        )  # fmt: skip
        building[what, dtype] = time.process_time() - begun
    live = Distiller(teacher=teacher, student=student)
    distillers = {kind: Distiller(teacher=cache, student=student) for kind, cache in caches.items()}
    loss, slope = gradient(live, plain)
    found = {kind: gradient(one, batch) for kind, one in distillers.items()}
    steps: dict[Any, list[float]] = {kind: [] for kind in KINDS}
    reads: dict[Any, list[float]] = {kind: [] for kind in KINDS}
    for _ in range(rounds):
        step = seconds(partial(learn, live, plain))
        with torch.no_grad():
            forward = seconds(lambda: teacher(**plain))
        for kind, distiller in distillers.items():
            cached = seconds(partial(learn, distiller, batch))
            steps[kind].append(cached / step)
            reads[kind].append(seconds(partial(read, caches[kind], batch)) / forward)
    for kind, cache in caches.items():
        yield {
            "setting": name,
            "what": kind[0],
            "dtype": str(kind[1]).removeprefix("torch."),
            "step, cached to live": median(steps[kind]),
            "reading to teacher's forward pass": median(reads[kind]),
            "megabytes a sample": cache.bytes / samples / 1e6,
            "error of maps": cache.errors["maps"],
            "error of logits": cache.errors["logits"],
            "of the loss": abs(found[kind][0] - loss) / abs(loss),
            "of the gradient": float((found[kind][1] - slope).norm() / slope.norm()),
            "building a sample, seconds": building[kind] / samples,
        }


def gradient(distiller: Distiller, batch: dict[str, Any]) -> tuple[float, torch.Tensor]:
    """The loss, and its gradient in one vector."""
    distiller.zero_grad()
    loss = distiller(**batch).loss
    loss.backward()
    parts = [one.grad.flatten() for one in distiller.parameters() if one.grad is not None]
    distiller.zero_grad()
    return float(loss.detach()), torch.cat(parts).double()


def learn(distiller: Distiller, batch: dict[str, Any]) -> None:
    """A step but for the optimizer's."""
    distiller(**batch).loss.backward()


def read(cache: TeacherCache, batch: dict[str, Any]) -> None:
    """All layers, where a student with fewer layers reads fewer."""
    output = cache.read(batch)
    assert output.attention is not None
    output.attention.maps()


def seconds(run: Callable[[], object]) -> float:
    """Of the one thread, whatever else the machine does."""
    begun = time.process_time()
    run()
    return time.process_time() - begun


def _markdown(report: dict[str, Any]) -> str:
    versions = ", ".join(f"{name} {number}" for name, number in report["versions"].items())
    columns = [name for name in report["rows"][0] if name != "setting"]
    lines = [
        "# What a teacher cache saves and costs",
        "",
        f"Measured on {report['date']} by `python -m benchmarks.teacher_cache`: {versions}; "
        f"{report['machine']}, one thread of {report['cores']} cores, shared with other work; "
        f"{report['rounds']} rounds, medians of ratios of processor time: files were in memory "
        "already, and checked; a slow disk would add waiting. Teacher: 12 layers, width 768, 12 "
        "heads; student: 6 layers, width 384, 6 heads; random weights; no padding.",
        "",
        "*Step*: forward and backward pass of `Distiller` with method `amad_kl`. *Reading*: all 12 "
        "layers' maps and the logits, though the step reads 6 layers. Errors of maps and logits "
        "are the largest distances; those of loss and gradient are relative.",
    ]
    for setting in dict.fromkeys(row["setting"] for row in report["rows"]):
        lines += [
            "",
            f"## {setting}",
            "",
            f"| {' | '.join(columns)} |",
            "|---" * len(columns) + "|",
        ]
        for row in report["rows"]:
            if row["setting"] == setting:
                cells = (row[name] for name in columns)
                said = [f"{one:.3g}" if isinstance(one, float) else one for one in cells]
                lines.append(f"| {' | '.join(said)} |")
    return "\n".join(lines) + "\n"


def main() -> None:
    """Measures, and writes the results."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5, help="of each step (default 5)")
    parser.add_argument("--output", type=Path, default=RESULTS, help="without its ending")
    arguments = parser.parse_args()
    torch.set_num_threads(1)
    packages = ("amad", "numpy", "safetensors", "torch", "transformers")
    report: dict[str, Any] = {
        "date": date.today().isoformat(),
        "versions": {"python": platform.python_version()}
        | {name: version(name) for name in packages},
        "machine": _machine(),
        "cores": os.cpu_count(),
        "rounds": arguments.rounds,
        "rows": [],
    }
    for name in SETTINGS:
        with tempfile.TemporaryDirectory() as folder:
            report["rows"] += list(measure(name, arguments.rounds, Path(folder)))
        output = arguments.output
        write_atomically(output.with_suffix(".json"), json.dumps(report, indent=1) + "\n")
        write_atomically(output.with_suffix(".md"), _markdown(report))
        print(f"{name}: measured", flush=True)
    print(_markdown(report))


def _machine() -> str:
    """The processor, by its model where the system says it."""
    told = Path("/proc/cpuinfo")
    if told.exists():
        for line in told.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


if __name__ == "__main__":
    main()
