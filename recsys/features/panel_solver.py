"""Preconditioned conjugate gradients for the map of features, compiled, a panel at a time.

A panel is 16 columns of the embeddings, each with a step length of its own, in one register. See
`recsys.features.ridge_steps` for the two systems.
"""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.base.simd import borrowed, larger, load, same, store, total
from recsys.features.panels import (
    RUN,
    Between,
    Sparse,
    SparseRows,
    clear,
    compile_,
    inner,
    times,
    transposed_times,
)
from recsys.vectors import FloatMatrix

_MOST_ROUNDS = 8
_LEAST_OF_A_ROUND = np.float32(1e-6)  # of a square, from which rounding leads a round astray
_SMALLEST = np.finfo(np.float32).tiny

Floats = NDArray[np.float32]


class System(NamedTuple):
    """A system of m equations, and what is near its inverse.

    That is ``D - D C K C' D``, where D is a diagonal.
    """

    rows: SparseRows
    weights: Floats  # (n,): of the rows; none in the system of the rows, whose penalties have them
    penalties: Floats  # (m,): what is added to the diagonal
    counted: Floats  # (m,): how much the square of a residual counts
    inverse: Floats  # (m,): D
    heavy: Sparse  # (m, n_heaviest): C
    core: FloatMatrix  # (n_heaviest, n_heaviest): K
    is_primal: bool  # of the features, else of the rows


class Room(NamedTuple):
    """What a thread needs beside the vectors: panels."""

    residual: FloatMatrix  # (m, N_LANES), and so the next two
    direction: FloatMatrix
    image: FloatMatrix
    of_rows: FloatMatrix  # (n, N_LANES) of the system of the features, else (0, N_LANES)
    between: Between
    heavy: FloatMatrix  # (n_heaviest, N_LANES)
    of_core: FloatMatrix  # (n_heaviest, N_LANES)


class Panel(NamedTuple):
    """The vectors of which a panel is solved, and where it is in them."""

    vectors: FloatMatrix  # (n, width)
    solution: FloatMatrix  # (m, width)
    said: FloatMatrix  # (n, width): what the solution says of the rows
    first: int  # column


@compile_
def solve_panel(system: System, panel: Panel, room: Room, most_steps: int, enough: float) -> int:
    """Take so many steps from where the solution is; return how many.

    They are fewer where the square of the residual is small enough before.
    """
    n_steps = 0
    least = np.float32(enough)
    for _ in range(_MOST_ROUNDS):  # each begins with the residual as it is
        _set_residual(system, panel, room)
        square = _weigh(system, room)
        if square <= np.float32(enough):
            return n_steps
        least = max(np.float32(enough), _LEAST_OF_A_ROUND * square)
        n_steps += _go(system, panel, room, most_steps, least)
        is_last = n_steps >= most_steps or least <= np.float32(enough)
        if is_last and not system.is_primal:
            _say_by_residual(system, panel, room)
        else:
            _say(system, panel, room)
        if is_last:
            break
    return n_steps


@inner
def _go(system: System, panel: Panel, room: Room, most_steps: int, least: Any) -> int:
    """Take steps until the square of the residual is at most the least; return their number."""
    smallest = same(np.float32(_SMALLEST))
    rho = _precondition(system, room)
    _aim(room, same(np.float32(0)))
    for step in range(most_steps):
        curvature = _multiply(system, room)
        _advance(panel, room, rho / larger(curvature, smallest))
        if step + 1 == most_steps or _weigh(system, room) <= least:
            return step + 1
        next_rho = _precondition(system, room)
        _aim(room, next_rho / larger(rho, smallest))
        rho = next_rho
    return most_steps


@inner
def _set_residual(system: System, panel: Panel, room: Room) -> None:
    """Set the residual of the solution as it is."""
    vectors, first = borrowed(panel.vectors), panel.first
    solution, said = borrowed(panel.solution), borrowed(panel.said)
    residual, of_rows = room.residual, room.of_rows
    if system.is_primal:
        for row in range(len(vectors)):
            left = load(vectors, (row, first)) - load(said, (row, first))
            store(of_rows, (row, 0), same(system.weights[row]) * left)
        transposed_times(system.rows, of_rows, room.between.words, residual)
    for row in range(len(residual)):
        left = load(residual, (row, 0))
        if not system.is_primal:
            left = load(vectors, (row, first)) - load(said, (row, first))
        left = left - same(system.penalties[row]) * load(solution, (row, first))
        store(residual, (row, 0), left)


@inner
def _weigh(system: System, room: Room) -> Any:
    """Return the square of the residual; set what the preconditioner takes of the heaviest ones."""
    indptr, indices, data = system.heavy
    residual, heavy = borrowed(room.residual), borrowed(room.heavy)
    clear(heavy)
    square = np.float32(0)
    for start in range(0, len(residual), RUN):
        of_run = same(np.float32(0))
        for row in range(start, min(start + RUN, len(residual))):
            left = load(residual, (row, 0))
            of_run += same(system.counted[row]) * left * left
            left = same(system.inverse[row]) * left
            for j in range(indptr[row], indptr[row + 1]):
                at = (np.uint64(indices[np.uint64(j)]), 0)
                store(heavy, at, load(heavy, at) + same(data[np.uint64(j)]) * left)
        square += total(of_run)
    return square


@inner
def _precondition(system: System, room: Room) -> Any:
    """Set the image to what is near the inverse times the residual; return their product."""
    indptr, indices, data = system.heavy
    residual, image = borrowed(room.residual), borrowed(room.image)
    heavy, of_core, core = borrowed(room.heavy), borrowed(room.of_core), system.core
    clear(of_core)
    for other in range(len(core)):  # a symmetric matrix
        of_other = load(heavy, (other, 0))
        for one in range(len(core)):
            store(of_core, (one, 0), load(of_core, (one, 0)) + same(core[other, one]) * of_other)
    found = same(np.float32(0))
    for start in range(0, len(image), RUN):
        of_run = same(np.float32(0))
        for row in range(start, min(start + RUN, len(image))):
            left = load(residual, (row, 0))
            near = left
            for j in range(indptr[row], indptr[row + 1]):
                at = (np.uint64(indices[np.uint64(j)]), 0)
                near = near - same(data[np.uint64(j)]) * load(of_core, at)
            near = same(system.inverse[row]) * near
            store(image, (row, 0), near)
            of_run += left * near
        found += of_run
    return found


@inner
def _aim(room: Room, beta: Any) -> None:
    """Set the direction to the image, and so much of what it was."""
    direction, image = borrowed(room.direction), borrowed(room.image)
    for row in range(len(direction)):
        aim = load(image, (row, 0)) + beta * load(direction, (row, 0))
        store(direction, (row, 0), aim)


@inner
def _multiply(system: System, room: Room) -> Any:
    """Set the image to the system times the direction; return their product."""
    direction, image = borrowed(room.direction), borrowed(room.image)
    between, of_rows = room.between, borrowed(room.of_rows)
    if system.is_primal:
        times(system.rows, direction, between.words, of_rows)
        for row in range(len(of_rows)):
            store(of_rows, (row, 0), same(system.weights[row]) * load(of_rows, (row, 0)))
        transposed_times(system.rows, of_rows, between.words, image)
    else:
        transposed_times(system.rows, direction, between.words, between.features)
        times(system.rows, between.features, between.words, image)
    found = same(np.float32(0))
    for start in range(0, len(image), RUN):
        of_run = same(np.float32(0))
        for row in range(start, min(start + RUN, len(image))):
            along = load(direction, (row, 0))
            whole = load(image, (row, 0)) + same(system.penalties[row]) * along
            store(image, (row, 0), whole)
            of_run += along * whole
        found += of_run
    return found


@inner
def _advance(panel: Panel, room: Room, alpha: Any) -> None:
    """Go so far along the direction."""
    residual, direction, image = room.residual, room.direction, room.image
    residual, direction, image = borrowed(residual), borrowed(direction), borrowed(image)
    solution, first = borrowed(panel.solution), panel.first
    for row in range(len(residual)):
        at = (row, first)
        store(solution, at, load(solution, at) + alpha * load(direction, (row, 0)))
        left = load(residual, (row, 0)) - alpha * load(image, (row, 0))
        store(residual, (row, 0), left)


@inner
def _say(system: System, panel: Panel, room: Room) -> None:
    """Set what the solution says of the rows, by products."""
    solution, said, first = borrowed(panel.solution), borrowed(panel.said), panel.first
    direction, between, of_rows = room.direction, room.between, room.of_rows
    for row in range(len(direction)):
        store(direction, (row, 0), load(solution, (row, first)))
    if system.is_primal:
        times(system.rows, direction, between.words, of_rows)
    else:
        of_rows = room.image
        transposed_times(system.rows, direction, between.words, between.features)
        times(system.rows, between.features, between.words, of_rows)
    for row in range(len(of_rows)):
        store(said, (row, first), load(of_rows, (row, 0)))


@inner
def _say_by_residual(system: System, panel: Panel, room: Room) -> None:
    """Set the same by the residual, of the system of the rows: what it leaves is said."""
    vectors, first = borrowed(panel.vectors), panel.first
    solution, said = borrowed(panel.solution), borrowed(panel.said)
    for row in range(len(said)):
        left = load(room.residual, (row, 0))
        left += same(system.penalties[row]) * load(solution, (row, first))
        store(said, (row, first), load(vectors, (row, first)) - left)


@compile_
def map_panel(
    system: System, solution: FloatMatrix, first: int, room: Room, out: FloatMatrix
) -> None:
    """Set a panel of ``F' X``, of the system of the rows."""
    solution, out = borrowed(solution), borrowed(out)
    for row in range(len(room.direction)):
        store(room.direction, (row, 0), load(solution, (row, first)))
    found = room.between.features
    transposed_times(system.rows, room.direction, room.between.words, found)
    for row in range(len(out)):
        store(out, (row, first), load(found, (row, 0)))
