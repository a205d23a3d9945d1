"""How to install what is missing: the package's extras, from a clone, as no index has it yet."""


def install_hint(extra: str) -> str:
    """The command that adds an extra.

    >>> install_hint("torch")
    "in a clone of AMAD: pip install -e '.[torch]'"
    """
    return f"in a clone of AMAD: pip install -e '.[{extra}]'"


def missing_framework(package: str, error: ImportError, extra: str) -> ImportError:
    """The error for an adapter whose framework is not installed; ``error`` is the import's own."""
    return ImportError(
        f"{package} needs the extra {extra!r}, which is not installed ({error}); "
        f"{install_hint(extra)}"
    )
