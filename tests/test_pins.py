"""One version of each tool that judges our sources, and the workflow runs what we run."""

import re
import sys
from pathlib import Path
from typing import Any

import pytest
import yaml

if sys.version_info >= (3, 11):
    import tomllib
else:
    tomllib = pytest.importorskip("tomli")

ROOT = Path(__file__).parent.parent
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text())
WORKFLOW = yaml.safe_load((ROOT / ".github" / "workflows" / "ci.yml").read_text())
HOOKS = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())
MAKEFILE = (ROOT / "Makefile").read_text()


def pins() -> dict[str, str]:
    lines = (ROOT / "constraints.txt").read_text().splitlines()
    return dict(line.split("==") for line in lines if "==" in line)


def steps() -> list[dict[str, Any]]:
    return [step for job in WORKFLOW["jobs"].values() for step in job["steps"]]


def test_ruff_and_mypy_are_pinned_and_installed_with_their_pins() -> None:
    assert {"ruff", "mypy"} <= set(pins())
    assert "--constraint constraints.txt" in MAKEFILE
    lowest = dict(
        requirement.split(">=")
        for requirement in PROJECT["project"]["optional-dependencies"]["test"]
        if ">=" in requirement
    )
    for tool in ("ruff", "mypy"):
        assert numbers(lowest[tool]) <= numbers(pins()[tool]), tool


def numbers(version: str) -> tuple[int, ...]:
    return tuple(map(int, version.split(".")))


def test_pre_commit_has_the_same_ruff_and_our_own_mypy() -> None:
    ruff, own = HOOKS["repos"]
    assert ruff["repo"].endswith("/ruff-pre-commit")
    assert ruff["rev"] == f"v{pins()['ruff']}"
    (mypy,) = own["hooks"]
    assert mypy["entry"] == ".venv/bin/mypy"  # which `make check` installs, with its pin
    assert "VENV ?= .venv" in MAKEFILE


def test_no_version_is_written_a_second_time() -> None:
    """A tool that the workflow installed by itself would be of another version one day."""
    assert not [step for step in steps() if "pip install" in step.get("run", "")]


def test_the_workflow_runs_make_targets_that_are_there() -> None:
    targets = set(re.findall(r"^([a-z-]+):", MAKEFILE, re.MULTILINE))
    called = {step["run"] for step in steps() if "run" in step}
    assert called == {"make check", "make docs", "make test", "make wheel"}
    assert {command.removeprefix("make ") for command in called} <= targets


def test_the_workflow_tests_the_oldest_and_the_newest_python() -> None:
    named = [
        classifier.rpartition(" ")[2]
        for classifier in PROJECT["project"]["classifiers"]
        if re.fullmatch(r"Programming Language :: Python :: 3\.\d+", classifier)
    ]
    assert PROJECT["project"]["requires-python"] == f">={named[0]}"
    for job in ("test", "wheel"):
        assert WORKFLOW["jobs"][job]["strategy"]["matrix"]["python"] == [named[0], named[-1]]


@pytest.mark.parametrize("script", ["run", "wheel"])
def test_scripts_can_be_run(script: str) -> None:
    path = ROOT / ".ci" / script
    assert path.read_text().startswith("#!/usr/bin/env bash\n")
    assert path.stat().st_mode & 0o111
