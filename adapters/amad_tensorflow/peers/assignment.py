"""The assignment problem inside the graph: exact, batched, on any device, under XLA too.

The Hungarian method with potentials (Kuhn 1955; the O(n² m) form of Jonker and Volgenant 1987):
rows are added one at a time, each along a shortest augmenting path of reduced costs. All samples
go through the same steps; those whose path is complete wait for the others.
"""

import tensorflow as tf

from amad_tensorflow.attention.inputs import Tensor, known_shape


def assignment(cosines: Tensor) -> tuple[Tensor, Tensor]:
    """Teacher heads and their student heads, ``[B, min(Ht, Hs)]`` each, of ``[B, Ht, Hs]``.

    The one-to-one assignment with the greatest sum; among equal ones any.

    Raises:
        ValueError: a number of heads that the graph does not know.
    """
    _, teacher_heads, student_heads = known_shape(cosines)
    if teacher_heads is None or student_heads is None:
        raise ValueError(
            "teacher and student must have a known number of heads to be matched; got teacher "
            f"{teacher_heads}, student {student_heads}"
        )
    # No path is shortest among NaN: the search, in a run that diverges, would never end.
    cosines = tf.where(tf.math.is_finite(cosines), cosines, tf.zeros_like(cosines))
    if teacher_heads <= student_heads:
        columns = _column_of_each_row(-cosines, teacher_heads, student_heads)
        return _counted(columns), columns
    rows = _column_of_each_row(-tf.transpose(cosines, [0, 2, 1]), student_heads, teacher_heads)
    return rows, _counted(rows)


def _column_of_each_row(costs: Tensor, rows: int, columns: int) -> Tensor:
    """The least costly distinct column of every row, ``[B, rows]``; ``rows <= columns``.

    Rows and columns count from 1 in here: column 0 is where a path starts, row 0 is none.
    """
    from_zero = tf.pad(costs[:, 0], [[0, 0], [1, 0]])  # [B, columns + 1]
    row_of = tf.zeros_like(from_zero, dtype=tf.int32)
    row_potential = tf.zeros_like(tf.pad(costs[:, :, 0], [[0, 0], [1, 0]]))
    column_potential = tf.zeros_like(from_zero)

    def add_row(row: Tensor, row_of: Tensor, u: Tensor, v: Tensor) -> tuple[Tensor, ...]:
        started = tf.concat([tf.fill(tf.shape(row_of[:, :1]), row), row_of[:, 1:]], axis=1)
        end, previous, u, v = _shortest_path(costs, started, u, v)
        return row + 1, _augmented(started, end, previous), u, v

    _, row_of, _, _ = tf.while_loop(
        lambda row, *_: row <= rows,
        add_row,
        (tf.constant(1), row_of, row_potential, column_potential),
    )
    belongs = row_of[:, tf.newaxis, 1:] == tf.range(1, rows + 1)[:, tf.newaxis]
    return tf.argmax(tf.cast(belongs, tf.int32), axis=-1, output_type=tf.int32)


def _shortest_path(
    costs: Tensor, row_of: Tensor, u: Tensor, v: Tensor
) -> tuple[Tensor, Tensor, Tensor, Tensor]:
    """From column 0 to the nearest free column: that column, the steps back, new potentials."""
    start = tf.zeros_like(row_of[:, 0])
    distance = tf.fill(tf.shape(v), tf.cast(float("inf"), v.dtype))
    distance = tf.ensure_shape(distance, v.shape)
    visited = tf.zeros_like(row_of, dtype=tf.bool)

    def step(
        column: Tensor, distance: Tensor, visited: Tensor, previous: Tensor, u: Tensor, v: Tensor
    ) -> tuple[Tensor, ...]:
        row = _at(row_of, column)
        active = (row != 0)[:, tf.newaxis]
        visited |= _one_hot(column, row_of) & active
        costs_of_row = tf.gather(costs, tf.maximum(row - 1, 0), axis=1, batch_dims=1)
        reduced = tf.pad(costs_of_row, [[0, 0], [1, 0]]) - _at(u, row)[:, tf.newaxis] - v
        nearer = ~visited & (reduced < distance) & active
        distance = tf.where(nearer, reduced, distance)
        previous = tf.where(nearer, column[:, tf.newaxis], previous)

        unvisited = tf.where(visited, tf.fill(tf.shape(v), _infinity(v)), distance)
        least = tf.reduce_min(unvisited, axis=1, keepdims=True)
        least = tf.where(active, least, tf.zeros_like(least))
        change = tf.where(visited, least, tf.zeros_like(v))
        # Every visited column belongs to another row, so each row's potential gets one change.
        rows = tf.one_hot(row_of, tf.shape(u)[1], dtype=u.dtype)
        u += tf.einsum("bc,bcr->br", change, rows)
        distance = tf.where(visited, distance, distance - least)
        following = tf.argmin(unvisited, axis=1, output_type=tf.int32)
        column = tf.where(active[:, 0], following, column)
        return column, distance, visited, previous, u, v - change

    column, _, _, previous, u, v = tf.while_loop(
        lambda column, *_: tf.reduce_any(_at(row_of, column) != 0),
        step,
        (start, distance, visited, tf.zeros_like(row_of), u, v),
    )
    return column, previous, u, v


def _augmented(row_of: Tensor, end: Tensor, previous: Tensor) -> Tensor:
    """Each column of the path takes the row of the column before it."""

    def step(column: Tensor, row_of: Tensor) -> tuple[Tensor, Tensor]:
        active = column != 0
        before = _at(previous, column)
        here = _one_hot(column, row_of) & active[:, tf.newaxis]
        row_of = tf.where(here, _at(row_of, before)[:, tf.newaxis], row_of)
        return tf.where(active, before, column), row_of

    _, row_of = tf.while_loop(lambda column, _: tf.reduce_any(column != 0), step, (end, row_of))
    return row_of


def _at(values: Tensor, index: Tensor) -> Tensor:
    return tf.gather(values, index, axis=1, batch_dims=1)


def _one_hot(index: Tensor, like: Tensor) -> Tensor:
    return tf.one_hot(index, tf.shape(like)[1], on_value=True, off_value=False)


def _infinity(like: Tensor) -> Tensor:
    return tf.cast(float("inf"), like.dtype)


def _counted(indices: Tensor) -> Tensor:
    return tf.zeros_like(indices) + tf.range(tf.shape(indices)[1])
