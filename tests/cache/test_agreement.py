"""A student learns from the cache what it learns from the teacher: same loss, same gradient."""

from pathlib import Path
from typing import Any

import pytest

torch = pytest.importorskip("torch")
pytest.importorskip("transformers")
pytest.importorskip("safetensors")

from amad_torch import AttentionMatch, Distiller, TeacherCache, cache_teacher  # noqa: E402
from amad_torch.cache.samples import Sample  # noqa: E402
from tests.cache.cached_data import batched, cached, models, step  # noqa: E402
from tests.distillation.test_distiller import bert, gpt2  # noqa: E402

CONTENTS = ("maps", "queries_and_keys")
SHUFFLED = (5, 2, 0, 4, 1, 3)


def distillers(
    kind: str, cache: TeacherCache, student: Any = None, **settings: Any
) -> list[Distiller]:
    """The teacher's and the cache's, for one student."""
    teacher = models(kind)[0]
    student = student or models(kind)[1]
    return [Distiller(teacher=one, student=student, **settings) for one in (teacher, cache)]


@pytest.mark.parametrize("side", ["right", "left"])
@pytest.mark.parametrize("what", CONTENTS)
@pytest.mark.parametrize("kind", ["bert", "gpt2", "t5"])
def test_batches_as_they_were_cached_give_the_same_bits(
    kind: str, what: str, side: str, tmp_path: Path
) -> None:
    batches = batched(kind, range(6), 2, side)
    if (kind, what, side) == ("t5", "queries_and_keys", "left"):
        with pytest.raises(ValueError, match=r"SelfAttention' sees padding \(where 'labels'"):
            cached(tmp_path, kind, batches=batches, what=what)
        return
    cache = cached(tmp_path, kind, batches=batches, what=what, dtype=torch.float32)
    live, stored = distillers(kind, cache)
    for batch in batches:
        (out, gradients), (mine, found) = step(live, batch), step(stored, batch)
        assert torch.equal(mine.loss, out.loss)
        assert list(mine) == list(out) == ["loss", "attention", "output", "task", "logits"]
        assert found.keys() == gradients.keys()
        assert all(torch.equal(one, gradients[name]) for name, one in found.items())
    assert cache.errors == {"maps": 0.0, "logits": 0.0}


OTHERS = [
    *((kind, what, "amad_kl") for kind in ("bert", "gpt2", "t5") for what in CONTENTS),
    ("bert", "queries_and_keys", "tinybert_scores"),
    ("gpt2", "queries_and_keys", "tinybert_scores"),
    ("bert", "queries_keys_and_values", "minilmv2_relation"),
    ("t5", "queries_keys_and_values", "minilmv2_relation"),
    ("gpt2", "queries_keys_and_values", "minilm_value_relation"),
]


@pytest.mark.parametrize(("kind", "what", "method"), OTHERS)
def test_other_batches_orders_and_padding_give_the_same(
    kind: str, what: str, method: str, tmp_path: Path
) -> None:
    """Within the rounding that another width of the batch makes in the teacher itself."""
    cache = cached(tmp_path, kind, what=what, dtype=torch.float32)
    student = {"bert": bert(6), "gpt2": gpt2(4)}.get(kind)  # as many heads as the teacher
    student = student if method.startswith(("tinybert", "minilm_")) else models(kind)[1]
    options = {"relation_heads": 2} if method == "minilmv2_relation" else {}
    live, stored = distillers(kind, cache, student, method=method, options=options)
    for batch in batched(kind, SHUFFLED, 3):
        (out, gradients), (mine, found) = step(live, batch), step(stored, batch)
        for part in ("attention", "output", "task"):
            assert torch.allclose(mine[part], out[part], rtol=1e-4, atol=1e-7), part
        assert all(
            torch.allclose(one, gradients[name], rtol=1e-3, atol=1e-6)
            for name, one in found.items()
        )


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("what", CONTENTS)
def test_the_error_of_a_smaller_dtype_is_what_is_told(
    what: str, dtype: Any, tmp_path: Path
) -> None:
    batches = batched("t5", range(6), 2)
    teacher = models("t5")[0]
    # One shard: what is told is of all samples.
    cache = cache_teacher(teacher=teacher, batches=batches, folder=tmp_path, what=what, dtype=dtype)
    exact = cached(tmp_path / "exact", "t5", what="maps", dtype=torch.float32)
    off = {"maps": 0.0, "logits": 0.0}
    for batch in batches:
        mine, other = cache.read(batch), exact.read(batch)
        assert mine.logits.dtype == other.logits.dtype == torch.float32
        off["logits"] = max(off["logits"], float((mine.logits - other.logits).abs().max()))
        for path, layer in mine.attention.items():
            difference = (layer.maps - other.attention[path].maps).abs().max()
            off["maps"] = max(off["maps"], float(difference))
    assert off == pytest.approx(cache.errors, rel=1e-3)
    assert 0 < cache.errors["maps"] < 0.01
    live, stored = distillers("t5", cache)
    (out, gradients), (mine, found) = step(live, batches[0]), step(stored, batches[0])
    assert torch.allclose(mine.loss, out.loss, rtol=5e-3)
    worst = max(float((one - gradients[name]).norm()) for name, one in found.items())
    assert worst <= 0.05 * max(float(one.norm()) for one in gradients.values())


def test_queries_and_keys_are_smaller_than_maps_where_texts_are_long(tmp_path: Path) -> None:
    torch.manual_seed(3)
    batch = {"input_ids": torch.randint(50, (2, 128))}
    sizes = [
        cached(tmp_path / what, "bert", batches=[batch], what=what).bytes
        for what in ("maps", "queries_and_keys")
    ]
    assert sizes[1] < sizes[0] / 5  # 8 numbers a head and token, of 128 to attend to


def test_what_a_method_needs_and_the_cache_lacks_is_named(tmp_path: Path) -> None:
    batch = batched("bert", [0, 1], 2)[0]
    for what, method, said in (
        ("maps", "tinybert_scores", "queries and keys of .* build it with what='queries_and_keys'"),
        ("queries_and_keys", "minilm_value_relation", "values .* what='queries_keys_and_values'"),
        ("queries_keys_and_values", "squeezing_heads", "no output projection"),
    ):
        cache = cached(tmp_path / what, "bert", what=what)
        with pytest.raises(ValueError, match=said):
            distillers("bert", cache, bert(6), method=method)[1](**batch)


def test_padding_is_not_stored(tmp_path: Path) -> None:
    plain = cached(tmp_path / "plain", "bert", batches=batched("bert", [1], 1))
    padded = batched("bert", [0, 1], 2)[0]
    one = {name: value[1:] for name, value in padded.items()}
    assert cached(tmp_path / "padded", "bert", batches=[one]).bytes == plain.bytes


def test_tokens_that_are_left_out_in_the_middle(tmp_path: Path) -> None:
    """Padding need not be at an end."""
    batch = batched("bert", [0, 3], 2)[0]
    batch["attention_mask"][0, 2:4] = 0
    for what in ("maps", "queries_and_keys"):
        cache = cached(tmp_path / what, "bert", batches=[batch], what=what, dtype=torch.float32)
        live, stored = distillers("bert", cache)
        assert torch.equal(stored(**batch).loss, live(**batch).loss)


def test_a_layer_that_attends_twice_and_layers_that_are_chosen(tmp_path: Path) -> None:
    cache = cached(tmp_path, "bert", modules=["*.layer.1.*", "*.layer.3.*"])
    assert cache.layers == [f"bert.encoder.layer.{number}.attention.self" for number in (1, 3)]
    pairs = distillers("bert", cache)[1].pairs(**batched("bert", range(2), 2)[0])
    assert [name.split(" <- ")[1] for name in pairs] == cache.layers


def test_no_more_is_read_than_is_compared(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    cache = cached(tmp_path, "bert")
    distiller = Distiller(
        teacher=cache, student=models("bert")[1], matches=[AttentionMatch(layers=[(2, 0)])]
    )
    read: list[int] = []
    numbers = Sample.numbers
    monkeypatch.setattr(Sample, "numbers", lambda one, at: (read.append(at), numbers(one, at))[1])
    distiller(**batched("bert", [4], 1)[0])
    assert sorted(set(read)) == [2, 4]  # the layer, and the logits, which come after four layers


def test_what_is_suggested_is_what_the_teacher_suggests(tmp_path: Path) -> None:
    cache = cached(tmp_path, "bert", dtype=torch.float32)
    batches = batched("bert", range(6), 2)
    live, stored = (one.suggest(batches) for one in distillers("bert", cache))
    assert stored.as_json() == live.as_json()


def test_it_takes_the_place_of_a_teacher(tmp_path: Path) -> None:
    cache = cached(tmp_path, "bert")
    distiller = Distiller(teacher=cache, student=models("bert")[1])
    assert distiller.teacher is cache
    distiller.to(torch.float64).train()
    assert {name.split(".")[0] for name in distiller.state_dict()} == {"student"}


def test_a_teacher_in_bfloat16_is_cached_as_it_is(tmp_path: Path) -> None:
    teacher = models("bert")[0].to(torch.bfloat16)
    batches = batched("bert", range(2), 2)
    cache = cached(tmp_path, "bert", teacher=teacher, batches=batches, dtype=torch.bfloat16)
    assert cache.errors == {"maps": 0.0, "logits": 0.0}
    assert cache.read(batches[0]).attention.maps()[0].dtype == torch.bfloat16


def test_the_teacher_is_left_in_the_mode_that_it_had(tmp_path: Path) -> None:
    teacher = models("bert")[0].train()
    teacher.bert.pooler.eval()
    before = [module.training for module in teacher.modules()]
    cached(tmp_path, "bert", teacher=teacher)
    assert [module.training for module in teacher.modules()] == before
