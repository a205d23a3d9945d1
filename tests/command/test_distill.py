"""The command from outside: a student, its log and pictures, going on, mistakes, exit codes."""

import json
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file
from typer import Typer
from typer.testing import CliRunner, Result

from amad_distill.command import distill
from amad_torch import Distiller
from tests.command.conftest import settings
from tests.support.processes import running

LAYERS = "bert.encoder.layer"
app = Typer(pretty_exceptions_enable=False)
app.command()(distill)


def run(given: dict[str, Any], *options: str) -> Result:
    Path("run.yaml").write_text(yaml.safe_dump(given))
    return CliRunner().invoke(app, ["--config", "run.yaml", *options])


def log(folder: str) -> list[dict[str, Any]]:
    """The log without what depends on the clock, or sums up the steps since a run was begun."""
    lines = Path(folder, "log.jsonl").read_text().splitlines()
    clock = ("runtime", "per_second", "train_loss")
    return [
        {key: value for key, value in json.loads(line).items() if not any(c in key for c in clock)}
        for line in lines
    ]


@pytest.mark.usefixtures("here")
def test_a_run_leaves_a_student_a_log_pictures_and_a_result() -> None:
    from transformers import AutoModelForSequenceClassification, AutoTokenizer

    done = run(settings(), "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert json.loads(Path("run/result.json").read_text()) == result
    assert "Loading PyTorch" in done.stderr
    assert result["steps"] == 6
    assert result["pairs"] == [
        f"{path}.{student}.attention.self <- {path}.{teacher}.attention.self"
        for path, student, teacher in ((LAYERS, 0, 1), (LAYERS, 1, 3))
    ]
    for picture in result["pictures"]:
        assert Path(picture).read_bytes().startswith(b"\x89PNG")
    assert [Path(one).name for one in result["pictures"]] == ["losses.png", "alignment.png"]
    lines = log("run")
    losses = [entry for entry in lines if "loss" in entry]
    assert [entry["step"] for entry in losses] == [1, 2, 3, 4, 5, 6]
    for entry in losses:
        parts = sum(entry[name] for name in ("attention", "output", "task"))
        assert entry["loss"] == pytest.approx(parts, rel=1e-5)
    evaluation = next(entry for entry in reversed(lines) if "eval_loss" in entry)
    assert evaluation["step"] == 6
    assert {"eval_attention", "eval_output", "eval_task", "eval_accuracy"} <= set(evaluation)
    assert result["evaluation"]["eval_accuracy"] == evaluation["eval_accuracy"]

    # What was saved is what was measured: the same parts of the loss on the same rows.
    student = AutoModelForSequenceClassification.from_pretrained("run/student")
    teacher = AutoModelForSequenceClassification.from_pretrained("teacher")
    assert student.config.label2id == {"bad": 0, "good": 1}
    rows = [line.split(",") for line in Path("held.csv").read_text().splitlines()[1:]]
    batch = AutoTokenizer.from_pretrained("run/student")(
        [text for text, _ in rows], padding=True, return_tensors="pt"
    )
    labels = torch.tensor([int(verdict == "good") for _, verdict in rows])
    distiller = Distiller(teacher=teacher, student=student.eval(), temperature=0.5)
    with torch.no_grad():
        out = distiller(**batch, labels=labels)
    for name in ("loss", "attention", "output", "task"):
        assert evaluation[f"eval_{name}"] == pytest.approx(float(out[name]), rel=1e-4), name
    right = (out.logits.argmax(-1) == labels).float().mean()
    assert evaluation["eval_accuracy"] == pytest.approx(float(right))
    before, after = (result["alignment"][when] for when in ("before", "after"))
    assert list(before) == list(after) == result["pairs"]
    assert before != after
    for weights in after.values():
        assert torch.allclose(torch.tensor(weights).sum(1), torch.ones(6))

    again = run(settings())
    assert again.exit_code == 0
    assert "at its end" in again.stdout
    other = run(settings(training__learning_rate=1e-3))
    assert other.exit_code == 2
    assert "other settings (training.learning_rate differ)" in other.stderr
    assert run(settings(training__max_steps=1), "--fresh").exit_code == 0
    assert [entry["step"] for entry in log("run") if "loss" in entry] == [1]


KILLED = """
import os, signal, sys
import transformers

class Killed(transformers.TrainerCallback):
    def on_step_end(self, args, state, control, **others):
        if state.global_step == 5:
            os.kill(os.getpid(), signal.SIGKILL)

make = transformers.Trainer.__init__

def with_end(self, *args, **kwargs):
    make(self, *args, **kwargs)
    self.add_callback(Killed())

transformers.Trainer.__init__ = with_end
sys.argv = ["amad distill", "--config", "run.yaml"]
import amad_distill.__main__
"""


@pytest.mark.skipif(not hasattr(signal, "SIGKILL"), reason="a signal that this system lacks")
@pytest.mark.usefixtures("here")
def test_a_run_that_is_killed_goes_on_with_the_same_numbers() -> None:
    given = settings(
        student__config={
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "hidden_size": 32,
            "hidden_dropout_prob": 0.3,
        }
    )
    assert run(given | {"output_dir": "whole"}).exit_code == 0
    Path("run.yaml").write_text(yaml.safe_dump(given | {"output_dir": "killed"}))
    with running([sys.executable, "-c", KILLED], stderr=subprocess.PIPE) as process:
        errors = process.communicate(timeout=200)[1]
    assert process.returncode == -signal.SIGKILL, errors
    assert not Path("killed/result.json").exists()
    # As if the kill had come while step 4 was saved.
    state = Path("killed/checkpoint-4/trainer_state.json")
    state.write_text(state.read_text()[:100])
    again = run(given | {"output_dir": "killed"}, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["resumed_from"] == "killed/checkpoint-2"
    one, other = (load_file(f"{name}/student/model.safetensors") for name in ("whole", "killed"))
    assert list(one) == list(other)
    assert all(torch.equal(one[name], other[name]) for name in one)
    assert log("whole") == log("killed")
    results = [json.loads(Path(name, "result.json").read_text()) for name in ("whole", "killed")]
    assert results[0]["alignment"] == results[1]["alignment"]


@pytest.mark.usefixtures("here")
def test_a_run_killed_after_its_last_step_takes_no_more() -> None:
    """A trainer that goes on from the checkpoint of its last step, amid an epoch, takes another."""
    given = settings(training__max_steps=2, training__lr_scheduler_type="constant")
    assert run(given).exit_code == 0
    student = load_file("run/student/model.safetensors")
    Path("run/result.json").unlink()
    shutil.rmtree("run/student")
    again = run(given, "--json")
    assert again.exit_code == 0, again.output
    assert json.loads(again.stdout)["steps"] == 2
    assert [entry["step"] for entry in log("run") if "loss" in entry] == [1, 2]
    other = load_file("run/student/model.safetensors")
    assert all(torch.equal(one, other[name]) for name, one in student.items())


@pytest.mark.usefixtures("here")
def test_settings_may_be_mended_where_nothing_was_trained() -> None:
    assert run(settings(distiller__options={"epsilon": 1})).exit_code == 2
    assert Path("run/settings.json").exists()
    mended = run(settings(training__max_steps=1, data__evaluation=None))
    assert mended.exit_code == 0, mended.output


@pytest.mark.usefixtures("here")
def test_check_trains_nothing_and_suggests_settings() -> None:
    done = run(settings(), "--check")
    assert done.exit_code == 0, done.output
    assert "bert.encoder.layer.1.attention.self <- bert.encoder.layer.3" in done.stdout
    assert "A starting point, not a result" in done.stdout
    section = yaml.safe_load(done.stdout.split("As settings:")[1])["distiller"]
    assert not Path("run").exists()
    # What is suggested can be used.
    assert run(settings(distiller=section, training__max_steps=1)).exit_code == 0


PREPARED = """
import torch
from transformers import GPT2Config, GPT2LMHeadModel

def model(depth, heads):
    sizes = dict(n_embd=24, vocab_size=50, n_positions=16)
    return GPT2LMHeadModel(GPT2Config(n_layer=depth, n_head=heads, **sizes))

def rows(count):
    draw = torch.Generator().manual_seed(0)
    tokens = torch.randint(50, (count, 9), generator=draw)
    first = torch.arange(9) < 5
    return {"train": [{"input_ids": row, "labels": row, "prompt": first} for row in tokens]}
"""


def of_functions(**changes: Any) -> dict[str, Any]:
    given: dict[str, Any] = {
        "output_dir": "run",
        "teacher": {"function": "mine:model", "arguments": {"depth": 4, "heads": 6}},
        "student": {"function": "mine:model", "arguments": {"depth": 2, "heads": 3}},
        "data": {"function": "mine:rows", "arguments": {"count": 8}},
        "distiller": {"matches": [{"tokens": "prompt", "layers": [[[0, 1], 0], [3, 1]]}]},
        "training": {"max_steps": 1, "learning_rate": 1e-3, "logging_steps": 1},
    }
    return given | changes


def test_models_and_data_of_the_user_s_own(here: Path) -> None:
    (here / "mine.py").write_text(PREPARED)
    try:
        done = run(of_functions(), "--json")
        assert done.exit_code == 0, done.output
        assert json.loads(done.stdout)["pairs"] == [
            "transformer.h.0.attn <- transformer.h.0.attn, transformer.h.1.attn",
            "transformer.h.1.attn <- transformer.h.3.attn",
        ]
        plain = run(
            of_functions(output_dir="other", distiller={"matches": [{"layers": [[3, 1]]}]}),
            "--json",
        )
        assert plain.exit_code == 0, plain.output  # also where only other columns are kept
        learned = run(of_functions(output_dir="learned", distiller={"method": "align_to_distill"}))
        assert learned.exit_code == 0, learned.output
        for changes, said in (
            ({"data": {"function": "mine:nothing"}}, "data.function: mine has no 'nothing'"),
            ({"data": {"function": "yours:rows"}}, "data.function: there is no module 'yours'"),
            ({"data": {"function": "mine:rows"}}, "data.function: mine:rows failed: TypeError"),
            ({"teacher": {"function": "mine:rows", "arguments": {"count": 2}}}, "must return a"),
            ({"distiller": {"matches": [{"tokens": "answer"}]}}, "tokens must name an entry"),
            ({"training": {"learning_rate": 1e30, "max_steps": 9}}, "stopped after"),
        ):
            wrong = run(of_functions(output_dir="wrong", **changes), "--fresh")
            assert wrong.exit_code == (1 if said == "stopped after" else 2), wrong.output
            assert said in wrong.stderr
            assert "Traceback" not in wrong.output
    finally:
        sys.modules.pop("mine", None)


def test_texts_for_a_causal_model(here: Path) -> None:
    config = {"model_type": "gpt2", "vocab_size": 15, "n_positions": 16}
    given = settings(
        task="text-generation",
        teacher={"config": config | {"n_layer": 4, "n_head": 6, "n_embd": 24}},
        student={"config": config | {"n_layer": 2, "n_head": 4, "n_embd": 16}},
        data__tokenizer="teacher",
        data__max_length=8,
        distiller={"method": "one_to_one_kl"},
        training__max_steps=2,
    )
    done = run(given, "--json")
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert result["evaluation"]["eval_task"] > 0
    words = (here / "reviews.csv").read_text().split("\n", 1)[1].replace(",good", "")
    count = len(words.replace(",bad", "").split())
    from amad_distill.data import load_data
    from amad_distill.reading import checked

    nothing = torch.nn.Linear(1, 1)
    data = load_data(checked(given), teacher=nothing, student=nothing)
    assert len(data.train) == count // 8
    assert {len(row) for row in data.train["input_ids"]} == {8}
    lines = (here / "reviews.csv").read_text().splitlines()[1:]
    (here / "reviews.txt").write_text("\n".join(line.split(",")[0] for line in lines))
    given["data"] |= {"join": False, "files": {"train": "reviews.txt"}, "text": "text"}
    given["data"]["evaluation"] = None
    data = load_data(checked(given), teacher=nothing, student=nothing)
    assert len(data.train) == 32
    longest = max(len(line.split(",")[0].split()) for line in lines)
    assert [len(data.cut), longest > 8] == [1, True]
    assert "of 32 texts fill a row of 8 tokens; what is longer was cut" in data.cut[0]
    given["data"]["max_length"] = longest + 1
    assert load_data(checked(given), teacher=nothing, student=nothing).cut == ()
    batch = data.collate([data.train[row] for row in range(4)])
    assert (batch["labels"] == -100).equal(batch["attention_mask"] == 0)


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"training__max_step": 3}, "training.max_step is no key; did you mean 'max_steps'"),
        ({"training__learning_rate": "fast"}, "training.learning_rate must be a valid number"),
        ({"training__max_steps": 0}, "training.max_steps must be greater than 0; got 0"),
        ({"training__output_dir": "x"}, "training.output_dir cannot be given here"),
        ({"training__label_smoothing_factor": 0.1}, "training.label_smoothing_factor cannot be"),
        ({"data__evaluation": None, "training__eval_strategy": "epoch"}, "give `data.evaluation`"),
        ({"distiller__method": "amad"}, "distiller.method: method must be one of 'amad_mse'"),
        ({"distiller__matches": [{"method": "logits_kl"}]}, "distiller.matches.0.method: method"),
        ({"distiller__options": {"epsilon": 1}}, "epsilon"),
        ({"teacher__name": "./nobody"}, "teacher.name ('./nobody'): "),
        ({"student__config": {"num_hiden_layers": 2}}, "did you mean 'num_hidden_layers'"),
        ({"student__config": {"hidden_size": 33}}, "student: AutoModelForSequenceClassification"),
        ({"student__config": {"num_labels": 1}}, "student: it has 1 labels, and data.train holds"),
        ({"student__config": {"vocab_size": 5}}, "student: its 5 embeddings are fewer than the 15"),
        ({"student__class": "BertForNothing"}, "student.class must be a model of Transformers"),
        ({"data__text": "revue"}, "data.text must name a column; got 'revue'"),
        ({"data__label": "review"}, "data.label: data.train holds the names 'and "),
        ({"data__evaluation": "test"}, "data.evaluation must name a split; got 'test'"),
        ({"data__files": {"train": "none.csv"}}, "data.files.train: there is no file none.csv"),
        ({"data__files": {"train": "run.yaml"}}, "data.files.train must end in .csv"),
        ({"data__max_length": 50}, "data.max_length must be at most 40, the positions of the"),
    ],
)
@pytest.mark.usefixtures("here")
def test_mistakes_are_told_without_a_traceback(changes: dict[str, Any], said: str) -> None:
    done = run(settings(**changes))
    assert done.exit_code == 2, done.output
    assert said in done.stderr
    assert "Traceback" not in done.output


@pytest.mark.usefixtures("here")
def test_a_folder_with_something_else_is_not_touched() -> None:
    Path("run").mkdir()
    Path("run/thesis.txt").write_text("years of work")
    for options in ((), ("--fresh",)):
        done = run(settings(), *options)
        assert done.exit_code == 2
        assert "run is not empty and holds no run of this command" in done.stderr
    assert Path("run/thesis.txt").read_text() == "years of work"


def test_help_and_a_missing_file() -> None:
    helped = CliRunner().invoke(app, ["--help"])
    assert helped.exit_code == 0
    for words in ("--config", "output_dir*", "distiller.matches[]", "max_length"):
        assert words in helped.stdout
    assert CliRunner().invoke(app, []).exit_code == 2
    missing = CliRunner().invoke(app, ["--config", "nowhere.yaml"])
    assert missing.exit_code == 2
    assert "nowhere.yaml cannot be read" in missing.stderr


def test_the_command_module_is_light_and_says_what_to_install() -> None:
    code = (
        "import sys; import amad_distill.command; "
        "assert not {'torch', 'pydantic', 'transformers', 'yaml'} & set(sys.modules); "
        "sys.modules['yaml'] = None; "
        "sys.argv = ['amad distill', *sys.argv[1:]]; import amad_distill.__main__"
    )
    done = subprocess.run(
        [sys.executable, "-c", code, "--config", "x.yaml"], capture_output=True, text=True
    )
    assert done.returncode == 2, done.stderr
    assert "pip install -e '.[distill]'" in done.stderr
    assert "Traceback" not in done.stderr


def test_the_example_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("sklearn")
    monkeypatch.chdir(tmp_path)
    printed = CliRunner().invoke(app, ["--example"])
    assert printed.exit_code == 0
    Path("run.yaml").write_text(
        printed.stdout.replace("max_steps: 600", "max_steps: 1").replace("4000", "64")
    )
    done = CliRunner().invoke(app, ["--config", "run.yaml", "--json"])
    assert done.exit_code == 0, done.output
    result = json.loads(done.stdout)
    assert len(result["pairs"]) == 4
    assert Path("runs/example/student/model.safetensors").is_file()
