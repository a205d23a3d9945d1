"""The specification and all adapters tell the same story: same files, functions and words.

Read from the sources, so that no framework is needed. What may differ is listed here, and nothing
that is listed is out of date.
"""

import ast
import re
from itertools import combinations
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
PACKAGES = {
    "specification": ROOT / "amad_core",
    "torch": ROOT / "adapters" / "amad_torch",
    "tensorflow": ROOT / "adapters" / "amad_tensorflow",
    "keras": ROOT / "adapters" / "amad_keras",
}
FOLDERS = ("attention", "training", "peers")
HAS = {"keras": ("attention",)}
"""Which folders a package has, where not all."""

FILES_OF_ONE = {
    "specification": {
        "attention/gradient",  # closed forms, which the adapters leave to their frameworks
        # standard library only, imported by the adapters
        "training/captured", "training/layers", "training/schedule",
    },
    "torch": {
        "attention/precision", "attention/value_checks",  # autocast; waiting for a device
        "attention/opaque", "attention/opaque_in_graphs", "attention/untraced",  # to a compiler
        "attention/signatures",  # of functions of autograd
        "attention/saved",  # inference mode
    },
    "tensorflow": {
        "attention/tracing", "attention/value_checks",  # graphs; waiting for a device
        "peers/assignment",  # SciPy's, inside a graph
    },
    "keras": {"attention/precision"},  # float64 stays float64
}  # fmt: skip

NAMES_OF_ONE = {
    "specification": {
        "Divergence", "Normalisation", "ProjectionGradients",  # pairs of a value and its gradient
        "saturating_divide", "Squeezed", "Pairs", "assignment", "as_array",
    },
    "torch": {"accumulation_dtype", "as_tensor", "assignment"},
    "tensorflow": {"accumulation_dtype", "as_tensor", "tiny", "known_shape", "as_dtype"},
    "keras": {"as_tensor", "tiny"},
}  # fmt: skip
"""Beside these, only the specification has functions named ``..._gradient`` or ``..._and_grad``."""

WORDS_OF_ONE = {
    "specification": (
        ", as float64",
        " gradient: the gradients of the sum over the batch by name, same arguments but the "
        "reduction.",
        "; a weight or bias that is not finite",
    ),
    "torch": (
        ", as a tensor",
        "; in a compiled graph, infinity",
        ", on the device of the first argument given",
        ", ``check_values`` among them",
        " It is solved on the CPU: see ``assignment`` for what that costs.",
        "; that of ``Conv2d(Hs, Ht, 1)`` without its two axes of length 1",
        " Solved by SciPy on the CPU: on another device it waits for the cosines (``B*Ht*Hs`` "
        "numbers), and ``torch.compile`` breaks its graph here.",
    ),
    "tensorflow": (
        ", as a tensor",
        ", or converts to one",
        ": an integer, or an integer tensor or variable of one element such as "
        "``optimizer.iterations``, without which a ramp inside a ``tf.function`` stands still",
        ", ``check_values`` among them",
        " It is solved inside the graph, so the number of heads has to be known to it.",
        "; ``kernel[0, 0]``, transposed, of Keras's ``Conv2D(Ht, 1)`` over maps with the heads "
        "last",
    ),
    "keras": (", as a tensor", ", or converts to one", "outside a trace, "),
}
"""What one docstring says beyond the others. Beside these: the entries of ``eps`` (0 in the
specification, the smallest normal number in the adapters), ``check_values`` and ``implementation``
(adapters only),
the dtype of the result, and from when on values are checked."""


def mirrored() -> list[str]:
    """The files, by folder, that every package has to have."""
    found = {
        name: {
            f"{folder}/{path.stem}"
            for folder in HAS.get(name, FOLDERS)
            for path in (package / folder).glob("*.py")
            if path.stem != "__init__"
        }
        for name, package in PACKAGES.items()
    }
    assert all(FILES_OF_ONE[name] <= files for name, files in found.items())
    common = {name: files - FILES_OF_ONE[name] for name, files in found.items()}
    for name, files in common.items():
        assert files == {file for file in common["specification"] if has(name, file)}
    return sorted(common["specification"])


def has(package: str, file: str) -> bool:
    """Whether a package is to have a file."""
    return file.partition("/")[0] in HAS.get(package, FOLDERS)


Definition = ast.FunctionDef | ast.ClassDef


def definitions(package: str, file: str) -> dict[str, Definition]:
    """What a file defines for others, in its order; derivatives are the specification's alone."""
    return {
        node.name: node
        for node in ast.parse((PACKAGES[package] / f"{file}.py").read_text()).body
        if isinstance(node, Definition) and not re.match("_|.*_(gradient|and_grad)$", node.name)
    }


def told(package: str, node: Definition, used: set[str] | None = None) -> str:
    """A docstring without what may differ, on one line."""
    text = (ast.get_docstring(node) or "") + "\n"
    text = re.sub(
        r"(?m)^    (eps, )?(eps|check_values|implementation): .*\n(        .*\n)*", "", text
    )
    arrays = r"np\.array\(|torch\.tensor\(|tf\.constant\(|keras\.ops\.array\("  # in examples
    text = re.sub(arrays, "array(", text)
    text = text.replace(", check_values, implementation:", ":").replace(", check_values:", ":")
    text = " ".join(text.split())
    text = re.sub(r"; float64[^;]*?\.(?= Raises:|$)", ".", text)
    text = text.replace("as far as values are checked, ", "")
    for words in WORDS_OF_ONE[package]:
        if words in text and used is not None:
            used.add(words)
        text = text.replace(words, "")
    return text


def keywords(node: ast.FunctionDef) -> list[tuple[str, str]]:
    """The keywords of a function that all packages have, each with its default."""
    pairs = zip(node.args.kwonlyargs, node.args.kw_defaults, strict=True)
    found = [
        (argument.arg, "" if default is None or argument.arg == "eps" else ast.unparse(default))
        for argument, default in pairs
    ]
    return [one for one in found if one[0] not in ("check_values", "implementation")]


@pytest.mark.parametrize("file", mirrored())
def test_the_same_names_in_the_same_order(file: str) -> None:
    found = {
        package: [name for name in definitions(package, file) if name not in NAMES_OF_ONE[package]]
        for package in PACKAGES
        if has(package, file)
    }
    for one, other in combinations(found, 2):
        assert found[one] == found[other], f"{one} and {other}"


@pytest.mark.parametrize("file", mirrored())
def test_the_same_words(file: str) -> None:
    found = {package: definitions(package, file) for package in PACKAGES if has(package, file)}
    for one, other in combinations(found, 2):
        for name in found[one].keys() & found[other].keys():
            words = told(one, found[one][name]), told(other, found[other][name])
            assert words[0] == words[1], f"{name} in {one} and {other}"


@pytest.mark.parametrize("file", mirrored())
def test_the_same_keywords_and_defaults(file: str) -> None:
    """``eps`` apart, and what adapters alone have, ``check_values`` and ``implementation``."""
    found = {
        package: {
            name: keywords(node)
            for name, node in definitions(package, file).items()
            if isinstance(node, ast.FunctionDef)
        }
        for package in PACKAGES
        if has(package, file)
    }
    for one, other in combinations(found, 2):
        for name in found[one].keys() & found[other].keys():
            assert found[one][name] == found[other][name], f"{name} in {one} and {other}"


def test_queries_and_keys_are_asked_for_alike() -> None:
    """In both adapters: the record's fields and defaults, the call's keywords and defaults."""
    adapters = ("torch", "tensorflow")
    records = [definitions(one, "streaming/queries_keys")["QueriesKeys"] for one in adapters]
    fields = [
        [
            (line.target.id, "" if line.value is None else ast.unparse(line.value))
            for line in record.body
            if isinstance(line, ast.AnnAssign) and isinstance(line.target, ast.Name)
        ]
        for record in records
    ]
    assert fields[0] == fields[1]
    name = "amad_loss_from_queries_and_keys"
    calls = [definitions(one, "streaming/loss")[name] for one in adapters]
    assert all(isinstance(call, ast.FunctionDef) for call in calls)
    asked = [keywords(call) for call in calls if isinstance(call, ast.FunctionDef)]
    assert asked[0] == asked[1]


@pytest.mark.parametrize("package", PACKAGES)
def test_nothing_is_excused_that_is_not_there(package: str) -> None:
    defined = {
        name: node
        for file in mirrored()
        if has(package, file)
        for name, node in definitions(package, file).items()
    }
    used: set[str] = set()
    for node in defined.values():
        told(package, node, used)
    assert NAMES_OF_ONE[package] <= defined.keys()
    assert set(WORDS_OF_ONE[package]) == used
