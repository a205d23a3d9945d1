"""Imports point down: who may import whom, in the whole house; and what stays unimported."""

import ast
import subprocess
import sys
from pathlib import Path

import pytest

from tests.support.import_graph import (
    Graph,
    circles,
    import_graph,
    imports,
    within,
)

ROOT = Path(__file__).parent.parent
CORE, TESTS = ROOT / "amad_core", ROOT / "tests"
TORCH, TENSORFLOW = ROOT / "adapters" / "amad_torch", ROOT / "adapters" / "amad_tensorflow"
KERAS = ROOT / "adapters" / "amad_keras"
COMMAND, DEMO = ROOT / "amad_distill", ROOT / "examples" / "amad_demo"
STUDY = ROOT / "examples" / "amad_study"
PICTURES = ROOT / "adapters" / "amad_pictures"
PACKAGES = (CORE, PICTURES, TORCH, TENSORFLOW, KERAS, COMMAND, DEMO, STUDY)

FLOORS = {
    "amad_core": (
        ("arguments", "files"),
        ("attention",),
        ("training",),
        ("peers",),
        ("",),
        ("conformance.inputs", "conformance.strategies"),
        ("conformance.ports",),
        ("conformance.judging",),
        ("conformance.reports",),
        ("conformance.diagnosis",),
        ("conformance.examination", "conformance.vectors"),
        ("conformance.command", "conformance.pytest_support"),
        ("conformance",),
        ("command_line",),
    ),
    "amad_torch": (
        ("attention", "kernels"),
        ("closed_form",),
        ("attention.loss",),  # chooses between its own formulas and the closed forms
        ("training", "streaming"),
        ("peers", "module", "capture", "models"),
        ("padding",),
        ("cache",),
        ("distillation",),
        ("",),
    ),
    "amad_tensorflow": (
        ("attention",),
        ("closed_form",),
        ("attention.loss",),  # as in amad_torch
        ("training", "streaming"),
        ("peers", "keras"),
        ("",),
    ),
    "amad_keras": (
        ("matching",),
        ("capture", "learned"),
        ("attention",),
        ("backends",),
        ("inside_distiller",),
        ("distillation",),
        ("alignment",),
        ("",),
    ),
    "amad_study": (
        ("data.picture", "data.sizes", "data.words"),
        ("data.example",),
        ("data.scores",),
        ("data.digits", "data.public"),
        ("data.catalogue",),
        ("data",),
        ("models.size", "models.vocabulary", "models.heads", "models.digit_reader"),
        ("models.region_reader", "models.patch_reader"),
        ("models.batches", "models.vl_t5", "models.blip"),
        ("models.workbench", "models.training"),
        ("models.gate", "models.pretraining", "models.inheritance"),
        ("models.teacher",),
        ("models",),
        ("runs.losses", "runs.looks", "runs.remembered", "runs.workers"),
        ("runs.methods",),
        ("runs.cell", "sentences.cell"),
        ("runs.circumstances", "runs.records"),
        ("runs.taught",),
        ("runs.student",),
        ("runs.plan",),
        ("runs",),
        ("protocol.condition",),
        ("protocol.hypothesis",),
        ("protocol.hypotheses",),
        ("protocol.tables", "protocol.recipe"),
        ("protocol.own_weights",),
        ("protocol.stages",),
        ("protocol",),
        ("sentences",),
        ("analysis.statistics", "analysis.evidence", "analysis.conditions", "analysis.provenance"),
        ("analysis.numbers",),
        ("analysis.findings", "analysis.outlook", "analysis.on_the_way", "analysis.beside_amad"),
        ("analysis.verdicts",),
        ("analysis.answer", "analysis.recipe"),
        ("analysis.summary",),
        ("analysis",),
        ("report",),
        ("command",),
        ("__main__",),
        ("",),
    ),
}
"""The rooms of each package from the ground up, ``""`` for its own ``__init__``: a module imports
from its own room and from floors below."""

SHARED = (
    "amad_core.arguments",
    "amad_core.files",
    "amad_core.training.layers",
    "amad_core.training.captured",
    "amad_core.training.schedule",
)
"""All that an adapter takes from the core: refusals, plain options and files, no maths."""

KERAS_CAPTURES = ("amad_keras.distillation", "amad_keras.capture", "amad_keras.alignment")
"""What ``amad_tensorflow`` exports of the package for all backends of Keras."""

HEAVY = (
    "torch", "tensorflow", "keras", "jax", "hypothesis", "autograd", "rich", "typer", "matplotlib",
    "transformers", "mpmath", "datasets", "pydantic", "yaml",
)  # fmt: skip


@pytest.fixture(scope="module")
def graph() -> Graph:
    return import_graph(*PACKAGES)


def room(module: str) -> tuple[int, str] | None:
    """The floor and name of a module's room; none for a package without floors."""
    package, _, inside = module.partition(".")
    rooms = [
        (floor, name)
        for floor, names in enumerate(FLOORS.get(package, ()))
        for name in names
        if inside == name or (name and inside.startswith(f"{name}."))
    ]
    return max(rooms, key=lambda found: len(found[1]), default=None)


def upward(graph: Graph) -> list[str]:
    """Imports of a room on the same floor or above."""
    found = []
    for module, names in graph.items():
        package = module.partition(".")[0]
        for name in sorted(names):
            here, there = room(module), room(name)
            if (
                within(name, (package,))
                and here
                and there
                and here != there
                and here[0] <= there[0]
            ):
                found.append(f"{module} imports {name}")
    return found


def strangers(graph: Graph) -> list[str]:
    """Imports of a package, or of a part of it, that a package has no business with."""
    ours = tuple(package.name for package in PACKAGES)
    allowed = {
        "amad_core": ("amad_core",),
        "amad_pictures": ("amad_pictures", *SHARED),
        "amad_torch": ("amad_torch", "amad_pictures", *SHARED),
        "amad_tensorflow": ("amad_tensorflow", "amad_pictures", *KERAS_CAPTURES, *SHARED),
        "amad_keras": ("amad_keras", "amad_tensorflow", "amad_torch", "amad_pictures", *SHARED),
        "amad_distill": ("amad_distill", "amad_core", "amad_torch", "amad_pictures"),
        "amad_demo": (
            "amad_demo",
            "amad_study",
            "amad_distill",
            "amad_torch",
            "amad_pictures",
            "amad_core",
        ),
        "amad_study": ("amad_study", "amad_core", "amad_torch"),
    }
    return [
        f"{module} imports {name}"
        for module, names in graph.items()
        for name in sorted(names)
        if within(name, ours) and not within(name, allowed[module.partition(".")[0]])
    ]


def test_imports_point_down(graph: Graph) -> None:
    assert upward(graph) == []


def test_every_module_has_a_room(graph: Graph) -> None:
    homeless = [name for name in graph if name.partition(".")[0] in FLOORS and not room(name)]
    assert homeless == []
    floors = [
        f"{package}.{name}".rstrip(".")
        for package, floors in FLOORS.items()
        for floor in floors
        for name in floor
    ]
    assert [name for name in floors if name not in graph] == []


def test_no_module_imports_itself_by_way_of_others(graph: Graph) -> None:
    assert circles(graph) == set()


def test_packages_keep_to_themselves(graph: Graph) -> None:
    """The core knows no adapter and no example, an adapter none of the core's maths."""
    assert strangers(graph) == []


def test_one_module_calls_the_maker_of_the_vectors(graph: Graph) -> None:
    """For other seeds than the one that ships; all else reads files."""
    maker = ("amad_core.conformance.vectors.make",)
    callers = {name for name, names in graph.items() if any(within(n, maker) for n in names)}
    outside = {name for name in callers if not within(name, maker)}
    assert outside == {"amad_core.conformance.vectors.export"}


def test_imports_are_written_in_full(graph: Graph) -> None:
    assert [module for module, names in graph.items() for name in names if name[0] == "."] == []


def test_examples_of_ports_need_nothing_of_ours() -> None:
    for path in sorted((ROOT / "examples").glob("*.py")):
        assert not [name for name in imports(path) if name.startswith("amad")], path


def test_the_paper_and_training_need_no_more_than_numpy(graph: Graph) -> None:
    others = ("amad_core.conformance", "amad_core.command_line")
    for module, names in graph.items():
        if within(module, ("amad_core",)) and not within(module, others):
            assert not [name for name in names if within(name, HEAVY)], module


def test_what_adapters_share_is_of_the_standard_library(graph: Graph) -> None:
    for module, names in graph.items():
        if within(module, SHARED):
            assert not [name for name in names if within(name, (*HEAVY, "numpy", "scipy"))], module


def test_tests_import_their_helpers_by_their_full_names() -> None:
    """So that a file is one module, whoever imports it, and no folder of tests is on the path."""
    helpers = tuple(path.stem for path in TESTS.rglob("*.py") if path.stem != "__init__")
    for path in sorted(TESTS.rglob("*.py")):
        wrong = [name for name in imports(path) if within(name, helpers) or name[0] == "."]
        assert not wrong, f"{path.relative_to(ROOT)}: import {wrong} from tests.… instead"


@pytest.mark.parametrize(
    "folder",
    sorted({path.parent for package in PACKAGES for path in package.rglob("*.py")}),
    ids=lambda folder: str(folder.relative_to(ROOT)),
)
def test_every_folder_says_its_duty(folder: Path) -> None:
    duty = ast.get_docstring(ast.parse((folder / "__init__.py").read_text(encoding="utf-8"))) or ""
    first = duty.partition("\n")[0]
    assert len(first.split()) > 3, f"the docstring of {folder.name} does not say what it is for"
    assert first.endswith("."), f"the first line of {folder.name}'s docstring is not a sentence"


@pytest.mark.parametrize(
    ("module", "line", "rule"),
    [
        ("amad_core.attention.loss", "from amad_core.training import masks", upward),
        ("amad_core.attention.loss", "def f():\n    from amad_core import VARIANTS", upward),
        ("amad_core.conformance.ports.port", "import amad_core.conformance.judging", upward),
        ("amad_core.conformance.reports.text", "import amad_core.conformance.vectors", upward),
        ("amad_core.conformance.vectors.check", "import amad_core.conformance.command", upward),
        ("amad_core.conformance.inputs.case", "from amad_core.command_line import main", upward),
        ("amad_torch.training.masks", "from amad_torch.peers import table", upward),
        ("amad_core.command_line", "from amad_demo.command import demo", strangers),
        ("amad_core.conformance.examination", "import amad_torch", strangers),
        ("amad_torch.attention.loss", "from amad_core.attention import similarity", strangers),
        ("amad_torch.attention.loss", "import amad_core", strangers),
        ("amad_torch.attention.loss", "from amad_core import VARIANTS", strangers),
        ("amad_torch.module", "import amad_tensorflow", strangers),
        ("amad_demo.methods", "from amad_tensorflow import amad_loss", strangers),
        ("amad_distill.run", "from amad_demo.parts import teacher", strangers),
        ("amad_torch.module", "import amad_distill", strangers),
        ("amad_core.attention.loss", "from amad_core.arguments import maps", None),
        ("amad_core.conformance.judging.tolerance", "from amad_core import VARIANTS", None),
        ("amad_torch.attention.loss", "from amad_core.arguments.maps import check_eps", None),
        ("amad_torch.training.total", "from amad_core.training import schedule", None),
    ],
)
def test_a_planted_import_is_caught(tmp_path: Path, module: str, line: str, rule: object) -> None:
    path = tmp_path.joinpath(*module.split(".")).with_suffix(".py")
    package = tmp_path / module.partition(".")[0]
    path.parent.mkdir(parents=True)
    path.write_text(line)
    (package / "__init__.py").touch()
    planted = import_graph(package)
    assert bool(upward(planted)) == (rule is upward)
    assert bool(strangers(planted)) == (rule is strangers)


def test_planted_circles_are_caught(tmp_path: Path) -> None:
    package = tmp_path / "a"
    package.mkdir()
    for name, line in (
        ("__init__", "from a.b import x"),
        ("b", "from a import c"),
        ("c", "def f():\n    import a.b"),
        ("d", "import a.b"),
    ):
        (package / f"{name}.py").write_text(line)
    assert circles(import_graph(package)) == {frozenset({"a.b", "a.c"})}
    (package / "d.py").write_text("import a")
    (package / "c.py").write_text("import a.d")
    assert circles(import_graph(package)) == {frozenset({"a", "a.b", "a.c", "a.d"})}


def loaded_by(module: str) -> set[str]:
    """Names in ``sys.modules`` after ``import module`` in a fresh interpreter."""
    done = subprocess.run(
        [sys.executable, "-c", f"import sys, {module}; print(*sys.modules)"],
        capture_output=True,
        text=True,
        cwd=ROOT,
        check=True,
    )
    return set(done.stdout.split())


@pytest.mark.parametrize("module", ["amad_core", "amad_core.conformance", "amad_core.command_line"])
def test_the_core_is_light(module: str) -> None:
    assert not loaded_by(module) & set(HEAVY)


def test_the_torch_adapter_leaves_tensorflow_alone() -> None:
    pytest.importorskip("torch")
    loaded = loaded_by("amad_torch")
    assert "torch" in loaded
    assert not loaded & {"tensorflow", "keras", "jax", "hypothesis", "rich", "typer"}
    assert "torch._dynamo" not in loaded, "the compiler is loaded, for which nobody asked"


@pytest.mark.xdist_group("tensorflow")
def test_the_tensorflow_adapter_leaves_torch_alone() -> None:
    pytest.importorskip("tensorflow")
    loaded = loaded_by("amad_tensorflow")
    assert "tensorflow" in loaded
    assert not loaded & {"torch", "hypothesis", "typer"}
