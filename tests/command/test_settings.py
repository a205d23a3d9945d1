"""The file of settings: what it may hold, and how a mistake in it is told."""

import inspect
import json
from pathlib import Path
from typing import Any

import pytest

from amad_distill.keys import explain_keys
from amad_distill.mistakes import SettingsError, section_of
from amad_distill.reading import checked, read_settings
from amad_distill.settings import DistillerSettings, MatchSettings, Settings
from tests.command.conftest import settings


def test_every_argument_of_the_distiller_is_a_key_with_its_default() -> None:
    from amad_torch import AttentionMatch, Distiller

    for given, section in ((Distiller, DistillerSettings), (AttentionMatch, MatchSettings)):
        arguments = inspect.signature(given).parameters.values()
        theirs = {
            one.name: None if one.default is inspect.Parameter.empty else one.default
            for one in arguments
            if section is MatchSettings or one.name not in ("teacher", "student", "example")
        }
        ours = {
            name: field.get_default(call_default_factory=True)
            for name, field in section.model_fields.items()
        }
        assert list(ours) == list(theirs)
        for name, default in theirs.items():
            if name != "options":
                assert ours[name] == default, name


def test_help_explains_every_key(capsys: pytest.CaptureFixture[str]) -> None:
    from rich.console import Console

    explain_keys(Console(width=200))
    said = capsys.readouterr().out

    def sections(model: Any) -> Any:
        yield model
        for field in model.model_fields.values():
            if (inner := section_of(field.annotation)) is not None:
                yield from sections(inner)

    for section in sections(Settings):
        for name, field in section.model_fields.items():
            assert f"  {field.alias or name}" in said
            if section_of(field.annotation) is None:
                assert field.description, name
                # Without the markup's brackets being eaten.
                assert field.description[:40].rstrip() in said, name


def test_yaml_and_toml_say_the_same(tmp_path: Path) -> None:
    (tmp_path / "a.yaml").write_text(
        "output_dir: out\ntask: text-generation\nteacher: {name: a}\nstudent: {name: b}\n"
        "data: {function: 'mine:rows'}\n"
        "distiller: {layers: [[[0, 1], 0]], crop: [2, 1], temperature: 1e-1}\n"
        "training: {learning_rate: 3e-4, eval_strategy: no, bf16: true}\n"
    )
    (tmp_path / "a.toml").write_text(
        'output_dir = "out"\ntask = "text-generation"\nteacher.name = "a"\nstudent.name = "b"\n'
        'data.function = "mine:rows"\n'
        "[distiller]\nlayers = [[[0, 1], 0]]\ncrop = [2, 1]\ntemperature = 0.1\n"
        '[training]\nlearning_rate = 3e-4\neval_strategy = "no"\nbf16 = true\n'
    )
    one, other = (read_settings(tmp_path / f"a.{kind}") for kind in ("yaml", "toml"))
    assert one == other
    assert one.training == {"learning_rate": 3e-4, "eval_strategy": "no", "bf16": True}
    assert one.distiller.layers == [([0, 1], 0)]
    # What is written for a run that goes on is read back the same.
    assert checked(json.loads(one.model_dump_json(by_alias=True))) == one


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"distiller__temprature": 1.0}, "distiller.temprature is no key; did you mean 'temper"),
        ({"teacher__nam": "x"}, "teacher.nam is no key; did you mean 'name'"),
        ({"data__lable": "x"}, "data.lable is no key; did you mean 'label'"),
        ({"qqq": 1}, "qqq is no key; the file has alignment_every, data"),
        ({"distiller__matches": [{"knd": "self"}]}, "distiller.matches.0.knd is no key; did"),
        ({"data": None}, "data is missing"),
        ({"distiller__temperature": "0.1"}, "distiller.temperature must be a valid number; got '0"),
        ({"distiller__temperature": 0}, "distiller.temperature must be greater than 0; got 0"),
        ({"distiller__resize": 1}, "distiller.resize must be a valid boolean; got 1"),
        ({"distiller__layers": "all"}, "must be 'uniform', 'last' or 'first' or a valid list"),
        ({"distiller__crop": [1]}, "distiller.crop must be a pair, [teacher, student]; got [1]"),
        ({"distiller__crop": [1, -1]}, "distiller.crop.1 must be greater than or equal to 0"),
        ({"distiller__attention_weight": True}, "distiller.attention_weight must be a valid num"),
        ({"student__function": "a:b"}, "student must have `function` alone"),
        ({"student__name": None}, "student must have `name` where it has `new_weights`"),
        ({"data__function": "a:b"}, "data must have one of `name`, `files` and `function`; it has"),
        ({"task": "text-clasification"}, "must have a `task` among text-classification,"),
        ({"task": "fill-mask"}, "where it has `data.text`"),
        ({"task": None, "data__text": None}, "must have `task`, or `teacher.class`"),
    ],
)
def test_mistakes_name_the_key_and_what_to_do(changes: dict[str, Any], said: str) -> None:
    with pytest.raises(SettingsError) as caught:
        checked(settings(**changes))
    assert said in str(caught.value)
    assert "pydantic" not in str(caught.value)


@pytest.mark.parametrize(
    ("name", "content", "said"),
    [
        ("a.yaml", "a: 1\nb: 2\na: 3\n", "the key 'a' is there twice"),
        ("a.yaml", "a: [1", "is no YAML"),
        ("a.toml", "a = ", "is no TOML"),
        ("a.yaml", "- 1", "must hold keys and values"),
        ("a.yaml", "!!python/object/apply:os.getcwd []", "is no YAML"),
        ("a.json", "{}", "must end in .yaml, .yml, .toml"),
    ],
)
def test_files_that_are_none(tmp_path: Path, name: str, content: str, said: str) -> None:
    (tmp_path / name).write_text(content)
    with pytest.raises(SettingsError, match=said):
        read_settings(tmp_path / name)
    with pytest.raises(SettingsError, match="cannot be read"):
        read_settings(tmp_path / "nowhere.yaml")
