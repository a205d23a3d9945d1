"""Where digits stand, and which stands next to which."""

from amad_study.data.digits.scenes import GRID, Scene
from amad_study.data.digits.words import COLUMNS, ROWS

Cell = tuple[int, int]
Board = dict[Cell, int]
"""Which digit stands in which (row, column)."""

ALL_CELLS = tuple((row, column) for row in range(GRID) for column in range(GRID))

DIRECTIONS: dict[str, Cell] = {
    "left of": (0, -1),
    "right of": (0, 1),
    "above": (-1, 0),
    "under": (1, 0),
}
"""The step, down and to the right, that each direction takes."""

OPPOSITE = {"left of": "right of", "right of": "left of", "above": "under", "under": "above"}


def board_of(scene: Scene) -> Board:
    """The scene without its pixels."""
    return dict(zip(scene.cells, scene.labels, strict=True))


def place_name(cell: Cell) -> str:
    """A cell in words, "top left"."""
    row, column = cell
    return f"{ROWS[row]} {COLUMNS[column]}"


def neighbour(board: Board, cell: Cell, direction: str) -> Cell | None:
    """The nearest digit in the same row or column that way; empty cells between do not matter."""
    down, right = DIRECTIONS[direction]
    for distance in range(1, GRID):
        there = (cell[0] + distance * down, cell[1] + distance * right)
        if there in board:
            return there
    return None


def neighbours(board: Board) -> list[tuple[Cell, str, Cell]]:
    """All (there, direction, from here): the digit `there` is the nearest in that direction."""
    return [
        (there, direction, here)
        for here in board
        for direction in DIRECTIONS
        if (there := neighbour(board, here, direction)) is not None
    ]
