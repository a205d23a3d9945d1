"""Two models, one loss: its parts are those by hand, and the teacher stays as it is."""

from typing import Any

import pytest

torch = pytest.importorskip("torch")
transformers = pytest.importorskip("transformers")

from torch import Tensor, nn  # noqa: E402

from amad_torch import (  # noqa: E402
    AttentionMatch,
    Distiller,
    amad_layers_loss,
    amad_loss,
    cell_mask,
    output_loss,
)

IDS = torch.tensor([[5, 9, 14, 3, 22, 8, 31], [12, 4, 7, 30, 1, 1, 1]])
REAL = torch.tensor([[1] * 7, [1] * 4 + [0] * 3])
CALM = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}


def bert(heads: int, depth: int = 2, width: int = 24, **settings: Any) -> Any:
    torch.manual_seed(heads)
    config = transformers.BertConfig(
        vocab_size=50,
        hidden_size=width,
        num_hidden_layers=depth,
        num_attention_heads=heads,
        intermediate_size=32,
        **(CALM | settings),
    )
    return transformers.BertForSequenceClassification(config)


def gpt2(heads: int, depth: int = 1) -> Any:
    torch.manual_seed(heads)
    return transformers.GPT2LMHeadModel(
        transformers.GPT2Config(
            vocab_size=50, n_embd=8 * heads, n_layer=depth, n_head=heads, resid_pdrop=0.0,
            embd_pdrop=0.0, attn_pdrop=0.0,
        )
    )  # fmt: skip


def t5(heads: int, depth: int) -> Any:
    torch.manual_seed(heads)
    return transformers.T5ForConditionalGeneration(
        transformers.T5Config(
            vocab_size=50, d_model=8 * heads, d_kv=8, d_ff=40, num_layers=depth, num_heads=heads,
            decoder_start_token_id=0, dropout_rate=0.0,
        )
    )  # fmt: skip


BATCH = {"input_ids": IDS, "attention_mask": REAL, "labels": torch.tensor([0, 1])}


def eager(model: Any, **inputs: Any) -> Any:
    """Outputs and maps as the model itself gives them."""
    model.set_attn_implementation("eager")
    output = model(**inputs, output_attentions=True)
    model.set_attn_implementation("sdpa")
    return output


@pytest.mark.parametrize("variant", ["mse", "kl", "js", "token"])
def test_the_parts_are_those_by_hand(variant: str) -> None:
    teacher, student = bert(6, 4, 48), bert(4)
    distiller = Distiller(
        teacher=teacher, student=student, method=f"amad_{variant}", temperature=0.5,
        attention_weight=0.3, output_weight=2.0, output_temperature=3.0, task_weight=0.7,
    )  # fmt: skip
    out = distiller(**BATCH)
    with torch.no_grad():
        target = eager(teacher, input_ids=IDS, attention_mask=REAL)
    student.eval()
    mine = eager(student, **BATCH)
    attention = amad_layers_loss(
        teacher=target.attentions, student=mine.attentions, variant=variant, temperature=0.5,
        mask=cell_mask(tokens=REAL),
    ).total  # fmt: skip
    outputs = output_loss(teacher=target.logits, student=mine.logits, temperature=3.0)
    assert torch.allclose(out.attention, attention, rtol=2e-3, atol=1e-6)
    assert torch.allclose(out.output, outputs, atol=1e-6)
    assert torch.allclose(out.task, mine.loss, atol=1e-6)
    assert torch.equal(out.loss, 0.3 * out.attention + 2.0 * out.output + 0.7 * out.task)
    assert out[0] is out.loss
    assert next(iter(out)) == "loss"


def test_the_teacher_stays_as_it_is() -> None:
    teacher, student = bert(6, 4, 48, attention_probs_dropout_prob=0.5), bert(4)
    distiller = Distiller(teacher=teacher.train(), student=student)
    before = {name: one.clone() for name, one in teacher.state_dict().items()}
    distiller.train()
    optimizer = torch.optim.SGD(distiller.parameters(), lr=0.1)
    first, second = distiller(**BATCH), distiller(**BATCH)
    assert torch.equal(first.loss, second.loss)  # no dropout anywhere
    first.loss.backward()
    optimizer.step()
    assert not teacher.training
    assert all(one.grad is None for one in teacher.parameters())
    assert all(torch.equal(one, before[name]) for name, one in teacher.state_dict().items())
    names = {name.split(".")[0] for name in distiller.state_dict()}
    assert names == {"student"}
    assert {id(one) for one in distiller.parameters()} == {id(one) for one in student.parameters()}


def test_a_teacher_that_nothing_is_learnt_from_is_not_run() -> None:
    teacher = bert(6)
    teacher.register_forward_pre_hook(lambda *_: pytest.fail("the teacher was run"))
    distiller = Distiller(teacher=teacher, student=bert(4), attention_weight=0.0, output_weight=0.0)
    out = distiller(**BATCH)
    assert torch.equal(out.loss, out.task)


def test_the_teacher_moves_along() -> None:
    distiller = Distiller(teacher=bert(6), student=bert(4)).to(torch.float64)
    assert next(distiller.teacher.parameters()).dtype == torch.float64


def test_saving_and_loading_is_the_students(tmp_path: Any) -> None:
    student = gpt2(3)
    distiller = Distiller(teacher=gpt2(4, 2), student=student)
    state = distiller.state_dict()
    assert "student.lm_head.weight" not in state  # tied to the embedding
    assert distiller.load_state_dict(state).missing_keys == []
    distiller.save_pretrained(tmp_path)
    again = transformers.GPT2LMHeadModel.from_pretrained(tmp_path)
    assert torch.equal(again.lm_head.weight, student.lm_head.weight)


def test_decoder_tokens_follow_the_labels() -> None:
    """Padded decoder tokens change nothing, whatever they hold."""
    distiller = Distiller(teacher=t5(6, 4), student=t5(4, 2), method="amad_kl").eval()
    labels = torch.tensor([[7, 8, 9, 10, 11], [7, 8, 9, -100, -100]])
    ids = torch.tensor([[0, 7, 8, 9, 10], [0, 7, 8, 1, 1]])
    other = ids.clone()
    other[1, 3:] = 33
    batch = {"input_ids": IDS, "attention_mask": REAL, "labels": labels}
    losses = [distiller(**batch, decoder_input_ids=one).attention for one in (ids, other)]
    assert torch.allclose(*losses, atol=1e-6)
    kinds = " ".join(distiller.pairs(**batch))
    assert "encoder.block.1.layer.0.SelfAttention <- encoder.block.3" in kinds
    assert "decoder.block.1.layer.1.EncDecAttention <- decoder.block.3.layer.1" in kinds
    assert len(distiller.pairs(**batch)) == 6


def test_padding_of_the_inputs_changes_nothing() -> None:
    distiller = Distiller(teacher=bert(6, 4, 48), student=bert(4)).eval()
    other = IDS.clone()
    other[1, 4:] = 33
    first = distiller(**BATCH)
    second = distiller(**(BATCH | {"input_ids": other}))
    assert torch.allclose(first.attention, second.attention, atol=1e-6)


def test_matches_say_which_layers_tokens_and_methods() -> None:
    teacher, student = bert(6, 4, 48), bert(4)
    tokens = torch.tensor([[0, 1, 1, 1, 0, 0, 0], [0, 1, 1, 0, 0, 0, 0]], dtype=torch.bool)
    distiller = Distiller(
        teacher=teacher,
        student=student,
        matches=[
            AttentionMatch(layers=[((0, 1), 0)], method="amad_mse", weight=2.0, tokens="chosen"),
            AttentionMatch(
                teacher="bert.encoder.layer.3", student="*.layer.1.*", tokens=(None, tokens)
            ),
        ],
        output_weight=0.0,
        task_weight=0.0,
    ).eval()
    found = distiller.distil(**BATCH, chosen=tokens).attention
    with torch.no_grad():
        target = eager(teacher, input_ids=IDS, attention_mask=REAL).attentions
    maps = eager(student.eval(), input_ids=IDS, attention_mask=REAL).attentions
    real = REAL.bool()
    both = cell_mask(tokens=real & tokens)
    keys = cell_mask(queries=real, keys=real & tokens)
    expected = 2.0 * amad_loss(
        teacher=(target[0] + target[1]) / 2, student=maps[0], variant="mse", mask=both
    ) + amad_loss(teacher=target[3], student=maps[1], variant="kl", mask=keys)
    assert torch.allclose(found, expected, rtol=2e-3, atol=1e-6)


class Grid(nn.Module):
    """Attention over ``extra`` tokens and a square grid of patches."""

    def __init__(self, heads: int, side: int, extra: int) -> None:
        super().__init__()
        torch.manual_seed(heads)
        self.side, self.extra, self.attention = side, extra, None
        self.attention = nn.MultiheadAttention(12, heads, batch_first=True)
        self.tokens = nn.Parameter(torch.randn(1, extra, 12))

    def forward(self, images: Tensor) -> Tensor:
        patches = nn.functional.adaptive_avg_pool2d(images, self.side).flatten(2).mT
        states = torch.cat([self.tokens.expand(len(images), -1, -1), patches], 1)
        return self.attention(states, states, states)[0].mean(1)


def test_lengths_that_differ_are_refused_and_mended() -> None:
    images = torch.linspace(-3, 3, 2 * 12 * 12 * 12).reshape(2, 12, 12, 12).sin()
    deit, vit, fine = Grid(6, 4, 2), Grid(4, 4, 1), Grid(3, 6, 1)
    with pytest.raises(ValueError, match=r"attends \[18, 18\].*student \[17, 17\].*crop="):
        Distiller(teacher=deit, student=vit)(images=images)
    cropped = Distiller(teacher=deit, student=vit, crop=(2, 1), output_weight=0)(images=images)
    assert bool(torch.isfinite(cropped.loss))
    cropped.loss.backward()
    with pytest.raises(ValueError, match="square grids"):
        Distiller(teacher=fine, student=vit, resize=True)(images=images)
    resized = Distiller(
        teacher=fine, student=vit, crop=(1, 1), resize=True, output_weight=0
    )(images=images)  # fmt: skip
    assert bool(torch.isfinite(resized.loss))


def test_scores_are_cropped_too() -> None:
    images = torch.linspace(-3, 3, 2 * 12 * 12 * 12).reshape(2, 12, 12, 12).sin()
    deit, vit = Grid(4, 4, 2), Grid(4, 4, 1)
    settings: dict[str, Any] = {"method": "tinybert_scores", "output_weight": 0}
    found = Distiller(teacher=deit, student=vit, crop=(2, 1), **settings)(images=images)
    assert bool(found.loss.isfinite())
    with pytest.raises(ValueError, match=r"one length, after crop; got \[18, 18\].*\[17, 17\]"):
        Distiller(teacher=deit, student=vit, **settings)(images=images)


def swin(window: int) -> Any:
    return transformers.SwinForImageClassification(
        transformers.SwinConfig(
            image_size=32, patch_size=4, embed_dim=8, depths=[1, 1], num_heads=[2, 4],
            window_size=window,
        )
    )  # fmt: skip


def test_windows_that_differ_are_refused() -> None:
    images = {"pixel_values": torch.rand(2, 3, 32, 32)}
    assert float(Distiller(teacher=swin(4), student=swin(4))(**images).attention) > 0
    for resize in (False, True):
        with pytest.raises(ValueError, match="of 8 samples or windows, the student of 32"):
            Distiller(teacher=swin(4), student=swin(2), resize=resize)(**images)


def test_cropped_rows_are_probabilities_again() -> None:
    from amad_torch.distillation.lengths import Lengths

    maps = torch.rand(2, 3, 17, 17).softmax(-1)
    teacher, student = Lengths(crop=(1, 1), resize=True).fitted(
        torch.rand(2, 3, 37, 37).softmax(-1), maps, "a <- b"
    )
    assert teacher.shape == (2, 3, 16, 16)
    for one in (teacher, student):
        assert torch.allclose(one.sum(-1), torch.ones(2, 3, 16))


@pytest.mark.parametrize(
    ("method", "options"),
    [
        ("one_to_one_kl", {}),
        ("mean_head_kl", {}),
        ("best_match_mse", {}),
        ("minilm_attention", {}),
        ("tinybert_scores", {}),
        ("minilmv2_relation", {"relation_heads": 4}),
        ("minilm_value_relation", {}),
        ("squeezing_heads", {}),
    ],
)
def test_peers_that_capture_can_feed(method: str, options: dict[str, Any]) -> None:
    distiller = Distiller(
        teacher=bert(4, 4, 48), student=bert(4), method=method, options=options, output_weight=0,
        task_weight=0,
    )  # fmt: skip
    out = distiller(**BATCH)
    out.loss.backward()
    assert float(out.attention) > 0
    query = distiller.student.bert.encoder.layer[0].attention.self.query.weight
    assert query.grad is not None
    assert bool(query.grad.any())


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"method": "logits_kl"}, "the output part"),
        ({"method": "amad_projected"}, "example is missing for 'amad_projected'.*example=batch"),
        ({"method": "kl"}, "method must be one of"),
        ({"temperature": 0.0}, "temperature must be"),
        ({"attention_weight": -1.0}, "attention_weight must be finite"),
        ({"teacher": None}, r"teacher must be a torch\.nn\.Module or a TeacherCache; got None"),
        ({"crop": (-1, 0)}, "crop must be"),
    ],
)
def test_wrong_arguments_are_refused(changes: dict[str, Any], message: str) -> None:
    arguments = {"teacher": bert(6), "student": bert(4)} | changes
    with pytest.raises((TypeError, ValueError), match=message):
        Distiller(**arguments)


def test_a_student_that_is_a_part_of_the_teacher_is_refused() -> None:
    teacher = bert(6)
    student = bert(6)
    student.bert.embeddings = teacher.bert.embeddings
    for one in (teacher, student, teacher.bert.encoder):
        with pytest.raises(ValueError, match="must not share parameters"):
            Distiller(teacher=teacher, student=one)
        assert all(parameter.requires_grad for parameter in one.parameters())


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        (
            {"teacher": "*.nix.*"},
            r"AttentionMatch\(teacher='\*\.nix\.\*', kind=None\) fits nothing",
        ),
        ({"kind": "cross"}, "fits nothing of the teacher: no attention with kind='cross'"),
        ({"student": "decoder"}, "fits nothing of the student: .*captured were 'bert.encoder"),
    ],
)
def test_a_match_that_fits_nothing_is_named(asked: dict[str, str], said: str) -> None:
    distiller = Distiller(teacher=bert(6), student=bert(4), matches=[AttentionMatch(**asked)])
    with pytest.raises(ValueError, match=said):
        distiller(**BATCH)


def test_what_cannot_be_compared_is_said() -> None:
    distiller = Distiller(
        teacher=bert(6), student=bert(4), matches=[AttentionMatch(teacher="decoder")]
    )
    with pytest.raises(ValueError, match=r"no attention with under='decoder'"):
        distiller(**BATCH)
    distiller = Distiller(
        teacher=bert(6), student=bert(4), matches=[AttentionMatch(tokens="image")]
    )
    with pytest.raises(ValueError, match="got 'image', there are 'input_ids'"):
        distiller(**BATCH)
    with pytest.raises(ValueError, match="nothing to train with"):
        Distiller(teacher=bert(6), student=bert(4), attention_weight=0, output_weight=0)(
            input_ids=IDS
        )
