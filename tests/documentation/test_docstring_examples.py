"""Every example in a docstring runs and gives what it says; the main functions have one."""

import doctest
import importlib
from pathlib import Path
from types import ModuleType

import pytest

SHOWN = {
    "alignment_weights", "amad_layers_loss", "amad_loss", "cell_mask", "layer_pairs", "output_loss",
    "task_loss", "total_loss",
}  # fmt: skip
ARRAYS = {"amad_core": ("numpy", "np"), "amad_pictures": ("matplotlib", "matplotlib"),
          "amad_torch": ("torch", "torch"),
          "amad_tensorflow": ("tensorflow", "tf"), "amad_keras": ("keras", "keras")}  # fmt: skip
PACKAGES = [
    "amad_core",
    "amad_pictures",
    "amad_torch",
    pytest.param("amad_tensorflow", marks=pytest.mark.xdist_group("tensorflow")),
    pytest.param("amad_keras", marks=pytest.mark.xdist_group("tensorflow")),
]


def modules(package: ModuleType) -> list[ModuleType]:
    """Those with an example; to import the others takes frameworks, and time."""
    found = []
    for path in sorted(Path(package.__path__[0]).rglob("*.py")):
        if ">>>" in path.read_text():
            inside = path.relative_to(package.__path__[0]).with_suffix("")
            found.append(importlib.import_module(".".join((package.__name__, *inside.parts))))
    return found


@pytest.mark.parametrize("name", PACKAGES)
def test_examples(name: str) -> None:
    library, short = ARRAYS[name]
    arrays = pytest.importorskip(library)
    package = importlib.import_module(name)
    finder, runner = doctest.DocTestFinder(), doctest.DocTestRunner()
    examples = [
        example
        for module in modules(package)
        for example in finder.find(module, extraglobs={short: arrays})
        if example.examples
    ]
    for example in examples:
        said: list[str] = []
        runner.run(example, out=said.append)
        assert not said, f"{example.name}\n{''.join(said)}"
    shown = {example.name.rpartition(".")[2] for example in examples}
    there = {one: getattr(package, one) for one in SHOWN if hasattr(package, one)}
    own = {one for one, function in there.items() if function.__module__.startswith(f"{name}.")}
    assert own or name == "amad_pictures"
    assert own <= shown
