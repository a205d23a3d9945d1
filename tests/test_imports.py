"""Who may import whom: a light core, adapters apart, a specification that knows no checker."""

import ast
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
SPEC, KIT = ROOT / "amad_core", ROOT / "amad_core" / "conformance"
TORCH, TENSORFLOW = ROOT / "adapters" / "amad_torch", ROOT / "adapters" / "amad_tensorflow"

HEAVY = (
    "torch", "tensorflow", "keras", "jax", "hypothesis", "autograd", "rich", "typer", "matplotlib",
    "transformers", "mpmath",
)  # fmt: skip

NOT_MATHS = ("arguments", "training.layers", "training.schedule")
"""Modules of the core that adapters share: checks of arguments and plain options, no maths."""


def loaded_by(module: str) -> set[str]:
    """Top-level names in ``sys.modules`` after ``import module`` in a fresh interpreter."""
    program = f"import sys, {module}; print(*{{name.split('.')[0] for name in sys.modules}})"
    done = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, cwd=ROOT, check=True
    )
    return set(done.stdout.split())


def test_the_core_is_light() -> None:
    for module in ("amad_core", "amad_core.conformance", "amad_core.command_line"):
        assert not loaded_by(module) & set(HEAVY), module


def test_the_torch_adapter_leaves_tensorflow_alone() -> None:
    pytest.importorskip("torch")
    loaded = loaded_by("amad_torch")
    assert "torch" in loaded
    assert not loaded & {"tensorflow", "keras", "jax", "hypothesis", "rich", "typer"}


@pytest.mark.xdist_group("tensorflow")
def test_the_tensorflow_adapter_leaves_torch_alone() -> None:
    pytest.importorskip("tensorflow")
    loaded = loaded_by("amad_tensorflow")
    assert "tensorflow" in loaded
    assert not loaded & {"torch", "hypothesis", "typer"}


def imports(path: Path) -> Iterator[str]:
    """Every module that a file imports, at the top or inside a function."""
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            yield from (f"{package}.{alias.name}" for alias in node.names)


def outside(folder: Path, forbidden: tuple[str, ...], allowed: tuple[str, ...] = ()) -> list[str]:
    """Imports of a folder that begin with a forbidden name and with no allowed one."""
    return [
        f"{path.name} imports {name}"
        for path in sorted(folder.rglob("*.py"))
        for name in imports(path)
        if _within(name, forbidden) and not _within(name, allowed)
    ]


def _within(name: str, packages: tuple[str, ...]) -> bool:
    return any(name == package or name.startswith(f"{package}.") for package in packages)


SHARED = tuple(f"amad_core.{name}" for name in NOT_MATHS)


@pytest.mark.parametrize(
    ("folder", "forbidden", "allowed"),
    [
        (TORCH, ("amad_core", "amad_tensorflow", "tensorflow", "keras", "jax"), SHARED),
        (TENSORFLOW, ("amad_core", "amad_torch", "torch", "jax"), SHARED),
    ],
    ids=["torch", "tensorflow"],
)
def test_adapters_share_checks_and_no_maths(
    folder: Path, forbidden: tuple[str, ...], allowed: tuple[str, ...]
) -> None:
    assert outside(folder, forbidden, allowed) == []


def test_what_adapters_share_is_of_the_standard_library() -> None:
    heavy = (*HEAVY, "numpy", "scipy")
    for name in NOT_MATHS:
        path = SPEC / name.replace(".", "/")
        for file in path.glob("*.py") if path.is_dir() else [path.with_suffix(".py")]:
            assert not [found for found in imports(file) if _within(found, heavy)], file


def test_the_specification_knows_neither_checker_nor_adapter() -> None:
    command = SPEC / "command_line.py"  # the `amad` command, which mounts everything
    for path in sorted(SPEC.rglob("*.py")):
        if KIT in path.parents or path == command:
            continue
        for name in imports(path):
            assert not _within(name, (*HEAVY, "amad_torch", "amad_tensorflow", "amad_demo")), path
            assert not _within(name, ("amad_core.conformance",)), path


def test_a_planted_violation_is_caught(tmp_path: Path) -> None:
    for line, caught in (
        ("from amad_core.attention.similarity import l2_normalise", True),
        ("import amad_core.attention.loss", True),
        ("import amad_core", True),
        ("from amad_core import VARIANTS", True),
        ("def f():\n    import tensorflow as tf", True),
        ("from amad_core import arguments", False),
        ("from amad_core.arguments.maps import check_eps", False),
        ("import torch", False),
    ):
        (tmp_path / "planted.py").write_text(line)
        found = outside(tmp_path, ("amad_core", "tensorflow"), SHARED)
        assert bool(found) == caught, line
