"""What is wrong with a file, and where."""

from pathlib import Path


class FileError(Exception):
    """A vectors or results file that cannot be used.

    Attributes:
        path: the file.
        pointer: place in it as a JSON pointer (``/results/kl-rect-1/value``); empty for the whole.
        message: what is wrong there.
    """

    def __init__(self, path: Path, message: str, pointer: str = "") -> None:
        super().__init__(f"{path}{', at ' + pointer if pointer else ''}: {message}")
        self.path, self.pointer, self.message = path, pointer, message


def pointer_to(*parts: str | int) -> str:
    """A JSON pointer (RFC 6901)."""
    return "".join("/" + str(part).replace("~", "~0").replace("/", "~1") for part in parts)
