"""Mutation testing of the loss: ``python tests/mutation/run.py [spec] [torch] [tensorflow]``.

Cosmic Ray's operators make the mutants; a runner of our own tests them. Cosmic Ray starts a process
for every mutant, as mutmut forks one: TensorFlow would be imported hundreds of times, 10 s each,
and does not survive a fork. Here one process a package imports the framework once; for each
mutant only our modules and tests are imported anew, the mutated one from memory, and pytest runs in
the same process until the first failure. No file is ever changed.

Results go to ``mutants/<package>.jsonl``, one line a mutant; a second run goes on where the first
stopped, with ``--again`` it tries the survivors once more, as after adding a test. Survivors are
printed with their line before and after.
"""

import argparse
import contextlib
import difflib
import importlib
import importlib.abc
import importlib.machinery
import importlib.util
import io
import json
import os
import signal
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from types import FrameType, ModuleType
from typing import NamedTuple

ROOT = Path(__file__).resolve().parents[2]
RESULTS = ROOT / "mutants"
SECONDS = 240
"""Of processor time, after which a mutant counts as killed."""

os.environ |= {"HYPOTHESIS_PROFILE": "mutation", "OMP_NUM_THREADS": "1"}


class Package(NamedTuple):
    """Modules to mutate, and the tests that are to notice, quickest first."""

    folder: str
    modules: tuple[str, ...]
    tests: tuple[str, ...]
    select: str = ""


COMMON = tuple(
    f"attention.{stage}"
    for stage in (
        "similarity", "alignment", "divergence", "projection", "variants", "inputs", "loss",
    )
)  # fmt: skip
SIDE_BY_SIDE = (
    "tests/adapters/test_value_and_gradient.py",
    "tests/adapters/test_error_messages.py",
)

PACKAGES = {
    "spec": Package(
        "amad_core",
        (
            *COMMON,
            "attention.gradient",
            "arguments.maps",
            "arguments.loss_masks",
            "arguments.words",
        ),
        (
            "tests/spec/test_values.py",
            "tests/spec/test_checks.py",
            "tests/spec/test_high_precision.py",
            "tests/spec/test_bounds.py",
            "tests/spec/test_masks.py",
            "tests/spec/test_gradients.py",
            "tests/adapters/test_error_messages.py",
            "tests/spec/test_symmetries.py",
            "tests/spec/test_limits.py",
            "tests/spec/test_one_to_one.py",
            "tests/test_signatures.py",
        ),
        "not torch and not tensorflow",
    ),
    "torch": Package(
        "adapters/amad_torch",
        (*COMMON, "attention.precision", "module"),
        (
            *SIDE_BY_SIDE,
            "tests/adapters/test_torch_module.py",
            "tests/adapters/test_torch_autograd.py",
            "tests/adapters/test_torch_compile.py",
            "tests/test_signatures.py",
        ),
        "not tensorflow and not specification and not 4096 and not inductor",
    ),
    "tensorflow": Package(
        "adapters/amad_tensorflow",
        (*COMMON, "keras.loss"),
        (
            *SIDE_BY_SIDE,
            "tests/adapters/test_tensorflow_graph.py",
            "tests/adapters/test_keras_loss.py",
            "tests/adapters/test_keras_mask.py",
            "tests/test_signatures.py",
        ),
        "not torch and not specification and not 4096 and not fit and not xla and not mixed",
    ),
}

# One or two replacements of every operator: the rest of Cosmic Ray's dies of the same tests.
OPERATORS = tuple(
    f"core/{name}"
    for name in (
        *(f"ReplaceBinaryOperator_{change}" for change in (
            "Add_Sub", "Sub_Add", "Mul_Div", "Div_Mul", "FloorDiv_Mul", "Pow_Mul",
            "BitAnd_BitOr", "BitOr_BitAnd",
        )),
        *(f"ReplaceComparisonOperator_{change}" for change in (
            "Eq_NotEq", "NotEq_Eq", "Lt_LtE", "Lt_Gt", "LtE_Lt", "LtE_Gt",
            "Gt_GtE", "Gt_Lt", "GtE_Gt", "GtE_Lt", "Is_IsNot", "IsNot_Is",
        )),
        "ReplaceUnaryOperator_Delete_USub", "ReplaceUnaryOperator_Delete_Not",
        "ReplaceUnaryOperator_Delete_Invert", "AddNot", "ReplaceTrueWithFalse",
        "ReplaceFalseWithTrue", "ReplaceAndWithOr", "ReplaceOrWithAnd", "ExceptionReplacer",
        "NumberReplacer", "RemoveDecorator", "ZeroIterationForLoop",
    )
)  # fmt: skip


class Mutant(NamedTuple):
    """One change of one module; ``change`` is its line before and after."""

    module: str
    operator: str
    occurrence: int
    source: str
    change: str

    @property
    def key(self) -> str:
        return f"{self.module}:{self.operator}:{self.occurrence}"


class Planted(importlib.abc.MetaPathFinder, importlib.abc.Loader):
    """Imports one module from mutated source instead of its file."""

    def __init__(self, name: str, source: str) -> None:
        self.name, self.source = name, source

    def find_spec(
        self, fullname: str, path: Sequence[str] | None, target: ModuleType | None = None
    ) -> importlib.machinery.ModuleSpec | None:
        return importlib.util.spec_from_loader(fullname, self) if fullname == self.name else None

    def exec_module(self, module: ModuleType) -> None:
        exec(compile(self.source, f"<mutant of {self.name}>", "exec"), module.__dict__)


def mutants(package: Package) -> Iterator[Mutant]:
    """Every mutant of every module of a package."""
    from cosmic_ray.mutating import mutate_code
    from cosmic_ray.plugins import get_operator

    for module in package.modules:
        original = (ROOT / package.folder / f"{module.replace('.', '/')}.py").read_text()
        for name in OPERATORS:
            operator, occurrence = get_operator(name)(), 0
            while True:
                source = mutate_code(original, operator, occurrence)
                if source is None:
                    break
                yield Mutant(module, name, occurrence, source, _change(original, source))
                occurrence += 1


def _change(original: str, source: str) -> str:
    lines = difflib.unified_diff(original.splitlines(), source.splitlines(), n=0, lineterm="")
    where, *changed = list(lines)[2:]
    return " ".join([where.split(" ")[1], *(line.strip() for line in changed)])


def verdict(package: Package, mutant: Mutant) -> str:
    """``killed by TEST``, ``broken`` where the module cannot be imported, or ``survived``."""
    name = Path(package.folder).name
    _forget(name)
    planted = Planted(f"{name}.{mutant.module}", mutant.source)
    sys.meta_path.insert(0, planted)
    try:
        with _time_limit(), contextlib.redirect_stdout(io.StringIO()):
            try:
                importlib.import_module(name)
            except Exception:
                return "broken"
            return _first_failure(package)
    except TimeoutError:
        return "killed by the time limit"
    finally:
        sys.meta_path.remove(planted)


def _first_failure(package: Package) -> str:
    import pytest

    class Watch:
        failed = ""

        def pytest_runtest_logreport(self, report: pytest.TestReport) -> None:
            if report.failed and not self.failed:
                self.failed = report.nodeid

    watch = Watch()
    options = ["-x", "-q", "-p", "no:cacheprovider", "--timeout=0"]
    select = ["-k", package.select] if package.select else []
    code = pytest.main([*options, *select, *package.tests], plugins=[watch])
    if watch.failed or code != pytest.ExitCode.OK:
        return f"killed by {watch.failed or code}"
    return "survived"


def _forget(name: str) -> None:
    """Our modules and the tests are imported anew; frameworks stay."""
    for loaded in list(sys.modules):
        first = loaded.split(".")[0]
        file = getattr(sys.modules[loaded], "__file__", None) or ""
        if first == name or (file.startswith(str(ROOT / "tests")) and loaded != "__main__"):
            del sys.modules[loaded]


@contextlib.contextmanager
def _time_limit() -> Iterator[None]:
    def stop(signal_number: int, frame: FrameType | None) -> None:
        raise TimeoutError

    signal.signal(signal.SIGPROF, stop)
    signal.setitimer(signal.ITIMER_PROF, SECONDS)
    try:
        yield
    finally:
        signal.setitimer(signal.ITIMER_PROF, 0)


def test_package(name: str, again: bool) -> None:
    """Try every mutant that has no result yet, and print the survivors."""
    package, path = PACKAGES[name], RESULTS / f"{name}.jsonl"
    RESULTS.mkdir(exist_ok=True)
    known = _results(path)
    if again:
        known = {key: line for key, line in known.items() if line["verdict"] != "survived"}
    if not known:
        untouched = Mutant("", "", 0, "", "")
        found = verdict(package, untouched)
        if found != "survived":
            raise SystemExit(f"{name}: the tests fail without any mutant: {found}")
    for mutant in mutants(package):
        if mutant.key in known:
            continue
        found = verdict(package, mutant)
        known[mutant.key] = {"key": mutant.key, "change": mutant.change, "verdict": found}
        with path.open("a") as file:
            file.write(json.dumps(known[mutant.key]) + "\n")
        print(f"{name} {mutant.key} {found}", file=sys.stderr, flush=True)
    _print_summary(name, list(known.values()))


def _results(path: Path) -> dict[str, dict[str, str]]:
    if not path.exists():
        return {}
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {line["key"]: line for line in lines}  # of two results the later one


def _print_summary(name: str, results: list[dict[str, str]]) -> None:
    verdicts = [result["verdict"].split(" ")[0] for result in results]
    counts = {word: verdicts.count(word) for word in ("killed", "broken", "survived")}
    print(f"{name}: {len(results)} mutants, {counts}")
    for result in results:
        if result["verdict"] == "survived":
            print(f"  {result['key']}\n    {result['change']}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("packages", nargs="*", choices=[[], *PACKAGES], default=list(PACKAGES))
    parser.add_argument("--again", action="store_true", help="try the survivors once more")
    os.chdir(ROOT)
    chosen = parser.parse_args()
    for one in chosen.packages:
        test_package(one, chosen.again)
