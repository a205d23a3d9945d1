"""No test compares and throws the answer away, ``np.allclose(a, b)`` without an assert."""

import ast
from pathlib import Path

TESTS = Path(__file__).parent
COMPARISONS = {"allclose", "isclose", "array_equal", "array_equiv", "equal", "any", "all"}


def toothless(source: str) -> list[int]:
    """Lines whose value, a comparison, nobody looks at."""
    return [
        node.lineno
        for node in ast.walk(ast.parse(source))
        if isinstance(node, ast.Expr) and _compares(node.value)
    ]


def _compares(node: ast.expr) -> bool:
    if isinstance(node, ast.Call):
        function = node.func
        name = getattr(function, "attr", getattr(function, "id", ""))
        return name in COMPARISONS
    if isinstance(node, ast.UnaryOp):
        return _compares(node.operand)
    return isinstance(node, ast.Compare | ast.BoolOp)


def test_every_comparison_is_asserted() -> None:
    for path in sorted(TESTS.rglob("*.py")):
        lines = toothless(path.read_text())
        assert not lines, f"{path.relative_to(TESTS)}: comparison without assert, lines {lines}"


def test_a_planted_comparison_is_caught() -> None:
    for line in ("a == b", "np.allclose(a, b)", "torch.equal(a, b)", "(a == b).all()", "not a < b"):
        assert toothless(line) == [1], line
    for line in ("assert a == b", "np.testing.assert_allclose(a, b)", "x = a == b", "run(a == b)"):
        assert toothless(line) == [], line
