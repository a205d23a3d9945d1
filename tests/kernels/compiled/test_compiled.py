"""Every program compiles for a GPU that is not there, and fits it."""

from typing import Any

import pytest

from amad_torch.kernels.availability import interpreted

SHARED_MEMORY = 227 * 1024
"""Bytes that a program may have on an H100."""

MAPS = {"TEACHERS": 16, "STUDENTS": 16, "CELLS": 128}
SCORES = {
    "TEACHERS": 16, "STUDENTS": 16, "ROWS": 16, "COLUMNS": 16,
    "TEACHER_WIDE": False, "STUDENT_WIDE": False,
}  # fmt: skip
ROWS = {"HEADS": 16, "ROWS": 16, "COLUMNS": 16, "WIDE": False}
PROGRAMS: list[tuple[str, dict[str, Any]]] = [
    ("map_sums.map_sums", {"SCALED": False, "GRAM": True, "WIDE": False, **MAPS}),
    ("map_sums.map_sums", {"SCALED": True, "GRAM": False, "WIDE": True, **MAPS}),
    ("map_divergences.map_divergences", {"KIND": "kl", "DERIVATIVE": True, **MAPS}),
    ("map_divergences.map_divergences", {"KIND": "squares", "DERIVATIVE": False, **MAPS}),
    ("map_gradient.map_gradient", {"KIND": "squares", **MAPS}),
    ("map_gradient.map_gradient", {"KIND": "js", **MAPS}),
    ("row_sums.row_sums", ROWS),
    ("score_sums.score_sums", {"SCALED": False, "GRAM": True, **SCORES}),
    ("score_sums.score_sums", {"SCALED": True, "GRAM": False, **SCORES}),
    ("score_divergences.score_divergences", {"KIND": "js", "DERIVATIVE": True, **SCORES}),
    ("score_gradients.query_gradients", {"KIND": "squares", "SIZE": 64, **SCORES}),
    ("score_gradients.key_gradients", {"KIND": "kl", "SIZE": 64, **SCORES}),
]
CASES = [
    pytest.param(*program, dtype, masked, id=f"{program[0]}-{dtype}-{number}")
    for number, program in enumerate(PROGRAMS)
    for dtype, masked in (("bf16", True), ("fp32", False))
]

NUMBERS = {"eps": "fp32", "log_eps": "fp32", "tiny": "fp32", "most": "fp32", "wanted": "*u8"}
POINTERS = (
    "divisors", "factors", "mixing", "back", "from_teacher", "from_student", "shift", "products",
    "gram", "teacher_sums", "student_sums", "values", "by_weight", "teacher_sizes", "student_sizes",
    "means",
)  # fmt: skip


def described(name: str, dtype: str, masked: bool, over_maps: bool, kind: str) -> Any:
    """The type of an argument; ``None`` for one that is not there."""
    from amad_torch.kernels.programs.sides import Cells, Side, Small

    both = ("*u8", f"*{dtype}") if masked else (None, None)
    if name == "gradient":
        return f"*{dtype}" if over_maps else "*fp32"
    if name in ("teacher", "student", "side") and not over_maps:
        strides = (("i32",) * 3, ("i32",) * 3, ("i32",) * 4, ("i32",) * 4)
        vectors = f"*{dtype}", f"*{dtype}", "*fp32"
        return Side(*vectors, *both, *strides, "i32", "i32", "i32", "fp32", "i32", "i32")
    if name in ("teacher", "student"):
        return f"*{dtype}"
    if name == "cells" and not over_maps:
        return Cells(both[0], ("i32",) * 3, "i32", "i32", "i32", "i32")
    if name == "small":
        there = None if kind == "squares" else "*fp32"
        return Small("*fp32", "*fp32", there, there, "*fp32", "*fp32", there)
    if name == "mask":
        return "*u8"
    return NUMBERS.get(name, "*fp32" if name in POINTERS else "i32")


@pytest.mark.thin(10)
@pytest.mark.parametrize(("name", "flags", "dtype", "masked"), CASES)
def test_compiles_for_an_h100(
    name: str,
    flags: dict[str, Any],
    dtype: str,
    masked: bool,
    tmp_path: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    triton = pytest.importorskip("triton")
    if interpreted():
        pytest.skip("Triton is an interpreter here")
    from importlib import import_module

    from triton.backends.compiler import GPUTarget
    from triton.compiler import ASTSource

    monkeypatch.setenv("TRITON_CACHE_DIR", str(tmp_path))
    file, _, function = name.partition(".")
    program = getattr(import_module(f"amad_torch.kernels.programs.{file}"), function)
    over_maps = file.startswith("map")
    flags = dict(flags) | ({"MASKED": masked} if over_maps else {})
    if not over_maps:
        flags["CHUNK"] = 64 if dtype == "bf16" else 16
    signature: dict[str, Any] = {}
    constants: dict[Any, Any] = dict(flags)
    for place, argument in enumerate(program.arg_names):
        if argument in flags:
            signature[argument] = "constexpr"
            continue
        kind = described(argument, dtype, masked, over_maps, flags.get("KIND", ""))
        if isinstance(kind, tuple):
            absent = [inside for inside, one in enumerate(kind) if one is None]
            constants |= {(place, inside): None for inside in absent}
            kind = type(kind)(*("constexpr" if one is None else one for one in kind))
        signature[argument] = kind
    source = ASTSource(fn=program, signature=signature, constexprs=constants)
    found = triton.compile(source, target=GPUTarget("cuda", 90, 32))
    assert found.metadata.shared <= SHARED_MEMORY
    assert "cubin" in found.asm  # so ptxas, which the wheel brings, has taken it
    assert "tf32" not in found.asm["ptx"]
    if dtype == "bf16" and (flags.get("WIDE") is False or not over_maps):
        assert "mma" in found.asm["ptx"]  # products of half precision run on tensor cores
