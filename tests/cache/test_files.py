"""The files of a cache: killed, truncated, corrupted, foreign; read in place, by many."""

import json
import multiprocessing
import os
import pickle
import signal
import sys
from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")
pytest.importorskip("safetensors")

from amad_torch import Distiller, TeacherCache, cache_teacher, capture_attention  # noqa: E402
from tests.cache.cached_data import batched, cached, collated, models, samples  # noqa: E402
from tests.support.processes import running  # noqa: E402

BUILD = """
import os, signal, sys
from pathlib import Path
from tests.cache.cached_data import batched, cached

def killed():
    for number, batch in enumerate(batched("bert", range(6), 1)):
        if number == 4:
            os.kill(os.getpid(), signal.SIGKILL)
        yield batch

cached(Path(sys.argv[1]), "bert", batches=killed())
"""


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a signal that this system lacks")
def test_a_build_that_was_killed_goes_on_to_the_same_files(tmp_path: Path) -> None:
    batches = batched("bert", range(6), 1)
    whole, killed = tmp_path / "whole", tmp_path / "killed"
    cached(whole, "bert", batches=batches)
    with running([sys.executable, "-c", BUILD, str(killed)]) as process:
        assert process.wait(timeout=200) == -signal.SIGKILL
    done = contents(killed)
    assert sorted(done) == sorted(
        f"0000{number}.{ending}" for number in range(4) for ending in ("json", "safetensors")
    )
    with pytest.raises(ValueError, match=r"holds a cache that was not finished .* cache_teacher"):
        TeacherCache(killed)
    # Killed a moment later, while a shard is written.
    (killed / ".0123456789abcdef.tmp").write_bytes(b"half")
    (killed / "00004.safetensors").write_bytes(b"a shard that has no JSON yet")
    times = {path.name: path.stat().st_mtime_ns for path in killed.glob("0000[0-3]*")}
    cached(killed, "bert", batches=batches)
    assert contents(killed) == contents(whole)
    assert {name: (killed / name).stat().st_mtime_ns for name in times} == times


class Asked(torch.nn.Module):
    """A teacher that counts its calls."""

    def __init__(self, model: Any) -> None:
        super().__init__()
        self.model, self.calls = model, 0

    def forward(self, input_ids: Any = None, attention_mask: Any = None, labels: Any = None) -> Any:
        self.calls += 1
        return self.model(input_ids=input_ids, attention_mask=attention_mask, labels=labels)


def test_what_is_there_is_not_computed_again_and_new_data_is_added(tmp_path: Path) -> None:
    teacher = Asked(models("bert")[0])
    cached(tmp_path, "bert", teacher=teacher, batches=batched("bert", range(4), 2))
    before = contents(tmp_path)
    cached(tmp_path, "bert", teacher=teacher, batches=batched("bert", (3, 0, 1, 2), 2))
    assert (teacher.calls, contents(tmp_path)) == (2, before)
    cache = cached(tmp_path, "bert", teacher=teacher, batches=batched("bert", range(6), 3))
    assert (teacher.calls, len(cache)) == (3, 6)
    cache.read(batched("bert", (5, 1, 4), 3)[0])


def damaged(folder: Path, how: str) -> None:
    shard = folder / "00001.safetensors"
    data = bytearray(shard.read_bytes())
    if how == "truncated":
        shard.write_bytes(data[:-8])
    elif how == "corrupted":
        data[-3] ^= 1
        shard.write_bytes(data)
    elif how == "missing":
        shard.unlink()
    elif how == "foreign":
        shard.write_bytes((folder / "00000.safetensors").read_bytes())
    elif how == "index":
        (folder / "index.json").write_bytes((folder / "index.json").read_bytes()[:-50])
    elif how == "version":
        index = json.loads((folder / "index.json").read_text())
        index["layout"]["version"] = 0
        (folder / "index.json").write_text(json.dumps(index))


@pytest.mark.parametrize(
    ("how", "said"),
    [
        ("truncated", r"00001\.safetensors is truncated: it has \d+ bytes of \d+; delete it"),
        ("corrupted", r"00001\.safetensors is corrupted, .* SHA-256 .*; delete it and its \.json"),
        ("missing", r"lacks its shard .*00001\.safetensors; delete it"),
        ("foreign", r"00001\.safetensors is (corrupted, or of another cache|truncated|too long)"),
        ("index", r"index\.json is truncated or no JSON .*run cache_teacher again"),
        ("version", r"index\.json was written in version 0 .* this is version 1: build"),
    ],
)
def test_damaged_files_are_refused_by_name(how: str, said: str, tmp_path: Path) -> None:
    cached(tmp_path, "bert")
    damaged(tmp_path, how)

    def read() -> None:
        cache = TeacherCache(tmp_path)
        cache.read(batched("bert", [0, 1], 2)[0])  # of the shard before: fine
        cache.read(batched("bert", [1, 2], 2)[0])

    with pytest.raises(ValueError, match=said):
        read()
    if how in ("truncated", "corrupted", "foreign"):
        with pytest.raises(ValueError, match=said):
            cached(tmp_path, "bert")
    # What the errors advise mends it.
    for name in ("00001.safetensors", "00001.json", "index.json"):
        (tmp_path / name).unlink(missing_ok=True)
    assert len(cached(tmp_path, "bert")) == 6
    TeacherCache(tmp_path).read(batched("bert", range(6), 6)[0])


def test_a_shard_of_another_cache_with_its_json_is_refused(tmp_path: Path) -> None:
    cached(tmp_path / "one", "bert")
    cached(tmp_path / "other", "bert", dtype=torch.float32)
    for ending in ("json", "safetensors"):
        name = f"00001.{ending}"
        (tmp_path / "one" / name).write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(ValueError, match=r"00001.safetensors is of another cache \(dtype is"):
        cached(tmp_path / "one", "bert")


def test_another_teacher_is_refused(tmp_path: Path) -> None:
    teacher = models("bert")[0]
    cached(tmp_path, "bert")
    assert len(TeacherCache(tmp_path, teacher=teacher)) == 6
    teacher.set_attn_implementation("eager")
    assert len(TeacherCache(tmp_path, teacher=teacher)) == 6
    with torch.no_grad():
        teacher.bert.encoder.layer[2].attention.self.key.weight[3, 4] += 1e-6
    with pytest.raises(ValueError, match=r"is of another teacher \(its weights"):
        TeacherCache(tmp_path, teacher=teacher)
    with pytest.raises(ValueError, match=r"00000\.safetensors is of another cache \(teacher is"):
        cached(tmp_path, "bert", teacher=teacher)
    other = models("bert")[0]
    other.config.layer_norm_eps = 1e-3
    with pytest.raises(ValueError, match="is of another teacher"):
        TeacherCache(tmp_path, teacher=other)


def test_other_data_is_refused(tmp_path: Path) -> None:
    cache = cached(tmp_path, "bert")
    distiller = Distiller(teacher=cache, student=models("bert")[1])
    batch = batched("bert", (1, 3, 4), 3)[0]
    batch["input_ids"][1, 5] += 1
    with pytest.raises(
        ValueError, match=r"samples \[1\] of the batch \(1 of 3\) are not in the ca"
    ):
        distiller(**batch)
    with pytest.raises(ValueError, match="which the batch lacks") as error:
        distiller(input_ids=batch["input_ids"], labels=batch["labels"])
    assert "'attention_mask', which the batch lacks" in str(error.value)


@pytest.mark.parametrize(
    ("settings", "error", "said"),
    [
        ({"what": "keys"}, ValueError, "what must be"),
        ({"dtype": torch.int8}, ValueError, "dtype must be one of torch.float32"),
        ({"batches": []}, ValueError, "batches must hold at least one batch"),
        ({"batches": {}}, TypeError, r"got one batch: give \[batch\]"),
        ({"batches": [[1]]}, TypeError, "batches must hold dictionaries"),
        ({"teacher": 3}, TypeError, r"teacher must be a torch\.nn\.Module; got 3"),
        ({"shard_megabytes": 0}, ValueError, "shard_megabytes must be above 0"),
        ({"modules": ["nothing"]}, ValueError, "no module matches 'nothing'"),
    ],
)
def test_arguments_are_checked(
    settings: dict[str, Any], error: type[Exception], said: str, tmp_path: Path
) -> None:
    with pytest.raises(error, match=said):
        cached(tmp_path, "bert", **settings)
    assert not list(tmp_path.iterdir())


def test_numbers_that_a_dtype_cannot_hold_are_refused(tmp_path: Path) -> None:
    teacher = models("bert")[0]
    with torch.no_grad():
        teacher.classifier.bias.fill_(1e5)
    with pytest.raises(ValueError, match=r"the logits reaches 1e\+05, .* dtype=torch.bfloat16"):
        cached(tmp_path, "bert", teacher=teacher)
    with torch.no_grad():
        teacher.classifier.bias.fill_(float("nan"))
    with pytest.raises(ValueError, match="the logits must be finite"):
        cached(tmp_path, "bert", teacher=teacher)


def test_logits_that_were_left_out_are_missed(tmp_path: Path) -> None:
    cache = cached(tmp_path, "bert", logits=False)
    student, batch = models("bert")[1], batched("bert", [0, 1], 2)[0]
    with pytest.raises(ValueError, match=r"built with logits=False.*output_weight=0"):
        Distiller(teacher=cache, student=student)(**batch)
    out = Distiller(teacher=cache, student=student, output_weight=0.0)(**batch)
    assert list(out) == ["loss", "attention", "task", "logits"]


def test_padding_that_counts_is_missed(tmp_path: Path) -> None:
    """Labels that count padded tokens: a live teacher has logits there, the cache has none."""
    cache = cached(tmp_path, "gpt2")
    batch = batched("gpt2", [0, 1], 2)[0]
    batch["labels"][batch["labels"] == -100] = 1
    with pytest.raises(ValueError, match="are not in the cache"):
        Distiller(teacher=cache, student=models("gpt2")[1])(**batch)
    without = [
        {k: v for k, v in one.items() if k != "labels"} for one in batched("gpt2", [0, 1], 2)
    ]
    cache = cached(tmp_path / "without", "gpt2", batches=without)
    with pytest.raises(ValueError, match="logits the cache left out as padding"):
        Distiller(teacher=cache, student=models("gpt2")[1])(**batch)


def test_other_padding_than_the_students_is_missed(tmp_path: Path) -> None:
    """A student without a mask counts padding too, which the teacher's cache left out."""
    student = models("bert")[1]
    cache = cached(tmp_path / "a", "bert", index="index", batches=[numbered()])
    batch = numbered()
    mask = batch.pop("attention_mask")
    with pytest.raises(ValueError, match=r"'attention_mask' leaves out, .* all count here"):
        Distiller(teacher=cache, student=student, output_weight=0.0)(**batch)
    whole = cached(tmp_path / "b", "bert", index="index", batches=[numbered()], keep_padding=True)
    live = models("bert")[0]
    with torch.no_grad(), capture_attention(live) as attention:
        live(input_ids=batch["input_ids"], attention_mask=mask)
    for mine, expected in zip(whole.read(batch).attention.maps(), attention.maps(), strict=True):
        assert torch.allclose(mine, expected, atol=1e-3)


def numbered() -> Any:
    return batched("bert", [0, 1], 2)[0] | {"index": torch.tensor([0, 1])}


def rows() -> list[dict[str, Any]]:
    return [{**one, "index": number, "unused": 0} for number, one in enumerate(samples("bert"))]


def with_index(chosen: list[dict[str, Any]]) -> dict[str, Any]:
    return collated(chosen) | {"index": torch.tensor([one["index"] for one in chosen])}


def test_samples_that_are_known_by_their_number(tmp_path: Path) -> None:
    loader = torch.utils.data.DataLoader(rows(), batch_size=2, collate_fn=with_index)
    teacher, student = models("bert")
    cache = cache_teacher(teacher=teacher, batches=loader, folder=tmp_path, index="index")
    batch = with_index([rows()[4], rows()[1]])
    distiller = Distiller(teacher=cache, student=student)
    given: list[set[str]] = []
    student.register_forward_pre_hook(lambda _, args, kw: given.append(set(kw)), with_kwargs=True)
    loss = distiller(**batch).loss
    assert given == [{"input_ids", "attention_mask", "labels"}]
    plain = cached(tmp_path / "plain", "bert")
    assert torch.equal(loss, Distiller(teacher=plain, student=student)(**batch).loss)
    with pytest.raises(
        ValueError, match=r"stored with \[2, 7\] tokens .* of which 'attention_mask'"
    ):
        distiller(**(batch | {"index": torch.tensor([4, 0])}))


class Read(torch.utils.data.Dataset):  # type: ignore[misc]
    """A data set whose workers read the cache."""

    def __init__(self, cache: TeacherCache) -> None:
        self.cache = cache

    def __len__(self) -> int:
        return 6

    def __getitem__(self, number: int) -> Any:
        output = self.cache.read(batched("bert", [number], 1)[0])
        return output.attention.maps()[3], os.getpid()


@pytest.mark.skipif(
    "fork" not in multiprocessing.get_all_start_methods(), reason="a way that this system lacks"
)
def test_workers_read_the_cache(tmp_path: Path) -> None:
    cache = cached(tmp_path, "bert")
    expected = [cache.read(one).attention.maps()[3] for one in batched("bert", range(6), 1)]
    loader = torch.utils.data.DataLoader(
        Read(cache), batch_size=None, num_workers=2, multiprocessing_context="fork"
    )
    found = list(loader)
    assert all(torch.equal(one, maps) for (one, _), maps in zip(found, expected, strict=True))
    assert os.getpid() not in {process for _, process in found}


def test_a_stock_trainer_shuffles_through_the_cache(tmp_path: Path) -> None:
    pytest.importorskip("accelerate")
    teacher, student = models("bert")
    loader = torch.utils.data.DataLoader(rows(), batch_size=3, collate_fn=with_index)
    cache_teacher(teacher=teacher, batches=loader, folder=tmp_path / "cache", index="index")
    trained = []
    for given in (teacher, TeacherCache(tmp_path / "cache")):
        copy = models("bert")[1]
        arguments = transformers.TrainingArguments(
            output_dir=str(tmp_path / "out"), report_to=[], max_steps=3, use_cpu=True,
            per_device_train_batch_size=2, disable_tqdm=True, save_strategy="no",
            dataloader_num_workers=1, learning_rate=1e-2,
        )  # fmt: skip
        transformers.Trainer(
            model=Distiller(teacher=given, student=copy),
            args=arguments,
            train_dataset=rows(),
            data_collator=by_hand,
        ).train()
        trained.append(copy.classifier.weight.detach())
    assert torch.allclose(*trained, atol=1e-4)
    assert not torch.allclose(trained[0], student.classifier.weight, atol=1e-4)


def by_hand(chosen: list[dict[str, Any]]) -> dict[str, Any]:
    """With the number, where the trainer kept it."""
    assert "unused" not in chosen[0]
    return with_index(chosen) if "index" in chosen[0] else collated(chosen)


def test_a_cache_is_mapped_to_memory_and_pickled_without_it(tmp_path: Path) -> None:
    cache = cached(tmp_path, "bert")
    batch = batched("bert", [2], 1)[0]
    cache.read(batch).attention.maps()
    maps = Path("/proc/self/maps")
    if maps.exists():
        assert "00001.safetensors" in maps.read_text()
        assert str(tmp_path / "00000.safetensors") not in maps.read_text()
    again = pickle.loads(pickle.dumps(cache))
    assert torch.equal(again.read(batch).logits, cache.read(batch).logits)


def test_the_extra_is_named_where_safetensors_is_missing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    cached(tmp_path, "bert")
    monkeypatch.setitem(sys.modules, "safetensors", None)
    with pytest.raises(ImportError, match=r"needs the extra 'torch'.*pip install"):
        TeacherCache(tmp_path)
