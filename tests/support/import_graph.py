"""Who imports whom, read from the sources; an import inside a function counts like any other."""

import ast
from collections.abc import Iterator, Mapping
from pathlib import Path

Graph = Mapping[str, frozenset[str]]
"""Every module of some folders, and all modules that it imports, of whatever package."""


def imports(path: Path) -> Iterator[str]:
    """Every module or name that a file imports, in full."""
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            package = "." * node.level + (node.module or "")
            yield from (f"{package}.{alias.name}" for alias in node.names)


def module_name(path: Path, root: Path) -> str:
    """``a.b`` of ``a/b.py`` and of ``a/b/__init__.py``."""
    parts = path.relative_to(root).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


def import_graph(*packages: Path) -> Graph:
    """The imports of packages; a name taken from a module counts as that module."""
    files = {
        module_name(path, package.parent): path
        for package in packages
        for path in sorted(package.rglob("*.py"))
    }
    return {
        module: frozenset(_known(name, files) for name in imports(path)) - {module}
        for module, path in files.items()
    }


def _known(name: str, modules: Mapping[str, Path]) -> str:
    package = name.rpartition(".")[0]
    return package if name not in modules and package in modules else name


def circles(graph: Graph) -> set[frozenset[str]]:
    """The largest sets of modules that import one another, directly or by way of others."""
    reached = {module: _reached_from(module, graph) for module in graph}
    groups = (
        frozenset(other for other in reached[module] if module in reached.get(other, ()))
        for module in graph
    )
    return {group for group in groups if group}


def _reached_from(start: str, graph: Graph) -> set[str]:
    found: set[str] = set()
    waiting = list(graph[start])
    while waiting:
        module = waiting.pop()
        if module in graph and module not in found:
            found.add(module)
            waiting.extend(graph[module])
    return found


def within(name: str, packages: tuple[str, ...]) -> bool:
    """Whether a name is one of the packages or inside one."""
    return any(name == package or name.startswith(f"{package}.") for package in packages)
