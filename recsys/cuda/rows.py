"""Rows of an ALS half-sweep on a card: which kernel solves which row, with how many warps.

A row of up to 256 columns is solved by one warp, a longer one by up to eight; blocks of one size
are one launch, longest rows first, and the launches run at once. A row that would keep one
multiprocessor busy long after the others are done is cut into pieces: a block sums over each piece,
and one warp puts the sums of a row together, in order.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np

from recsys.base.errors import ConfigError
from recsys.cuda.backend import WARP, Array, Backend, Launch, Program, in_blocks, int32
from recsys.cuda.csr import Rows

WIDTHS = (32, 64, 128, 256, 512)
"""Factors that kernels are made for; others are padded to the next."""

Number = Literal["Bfloat16", "Float32"]
"""Type of the gathered vectors: bfloat16 has the range of float32, and so needs no scale."""

_SUM_PADDING = 4  # of a sum of vectors: its squares, and the start of a 16-byte piece
_STATE = 3  # numbers of a long row between passes


@dataclass(frozen=True)
class Schedule:
    """How rows are cut among warps and blocks; other numbers give other sums, up to rounding."""

    warps: tuple[int, ...] = (1, 2, 3, 4, 6, 8)
    columns_per_warp: int = 256
    longest: int = 32_768  # columns of a row that one block solves
    piece: int = 8_192  # columns of a longer one that a block sums over


def width_of(factors: int) -> int:
    """Return the factors of the kernels for some factors.

    Raises
    ------
    ConfigError
        If there are more than kernels are made for.
    """
    for width in WIDTHS:
        if factors <= width:
            return width
    raise ConfigError(
        f"als.factors: expected at most {WIDTHS[-1]} on a card, got {factors}; lower factors, or "
        'take device = "cpu" (--device cpu, [compute] device)'
    )


def program_of(width: int, number: Number) -> Program:
    """Return the kernels for rows of a width, against vectors of a type of number."""
    return Program(("lanes.cu", "rows.cu"), (("NUMBER", number), ("FACTORS", width)))


@dataclass(frozen=True, eq=False)
class System:
    """What the rows of a launch are solved for: arrays of the backend, a row each where they vary.

    ``(scale * dense + regularization + Z' diag(w) Z) x = Z' w`` with Z the fixed vectors of a row's
    columns; a weight below 0 is that of a column whose score should be 0.
    """

    fixed: Array  # (n_fixed, width), bfloat16 as uint16, or float32
    vectors: Array  # float32 (n, width): where the iteration starts, and its result
    pulls: Array  # float32 (n, width): the vectors times the dense matrix
    diagonal: Array  # float32 (width,), of the dense matrix
    scale: Array  # float32 (n,)
    regularization: Array  # float32 (n,), above 0
    losses: Array  # float32 (n,), out
    steps: int
    tolerance: float


@dataclass(frozen=True, eq=False)
class _LongRows:
    """Rows that are cut into pieces."""

    order: Array  # int32 (n_long,)
    piece_row: Array  # int32 (n_pieces,): which of the long rows
    piece_start: Array  # int32 (n_pieces,), among the pairs of the part
    piece_stop: Array
    first_piece: Array  # int32 (n_long + 1,)


@dataclass(frozen=True, eq=False)
class Plan:
    """The launches of the rows of a part, without what they are solved for."""

    rows: Rows
    empty: Array  # rows without columns
    classes: Sequence[tuple[int, Array]]  # warps of a block, and the rows, int32
    long: _LongRows | None = None
    schedule: Schedule = field(default_factory=Schedule)

    @classmethod
    def of(cls, backend: Backend, rows: Rows, schedule: Schedule | None = None) -> "Plan":
        """Sort rows into classes by their length."""
        schedule, xp = schedule or Schedule(), backend.xp
        lengths = rows.indptr[1:] - rows.indptr[:-1]
        order = xp.argsort(-lengths, kind="stable").astype(np.int32)
        limits = [schedule.columns_per_warp * n for n in schedule.warps[:-1]]
        above = [schedule.longest, *reversed(limits), 0]
        ends = _n_longer(backend, lengths[order], above)
        starts = [0, *ends[:-1]]
        classes = [
            (n_warps, order[start:end])
            for n_warps, start, end in zip(
                reversed(schedule.warps), starts[1:], ends[1:], strict=True
            )
            if end > start
        ]
        long = _long_rows(backend, rows, order[: ends[0]], schedule.piece) if ends[0] else None
        return cls(rows, order[ends[-1] :], classes, long, schedule)

    def queues(self, backend: Backend, system: System, width: int) -> list[list[Launch]]:
        """Return the launches that take the steps of a system for all rows that have columns."""
        kernel = "step_rows" if system.steps == 1 else "solve_rows"
        queues = [
            [
                Launch(
                    kernel,
                    (len(order), 1),
                    n_warps * WARP,
                    self._problem(system, order),
                    _shared_of(n_warps, width),
                )
            ]
            for n_warps, order in self.classes
        ]
        if self.long is not None:
            queues.insert(0, self._of_long(backend, self.long, system, width))
        return queues

    def _problem(self, system: System, order: Array) -> tuple[object, ...]:
        """Return the arguments that all kernels of rows begin with."""
        return (
            *(self.rows.indptr, self.rows.columns, self.rows.weights),
            *(system.fixed, order, system.vectors, system.pulls, system.diagonal, system.scale),
            *(system.regularization, system.losses),
            *(int32(system.steps), np.float32(system.tolerance)),
        )

    def _of_long(
        self, backend: Backend, long: _LongRows, system: System, width: int
    ) -> list[Launch]:
        xp, n_long, n_pieces = backend.xp, len(long.order), len(long.piece_row)
        directions = system.vectors[long.order]  # a copy
        residuals = xp.zeros((n_long, width), dtype=np.float32)
        states = xp.zeros((n_long, _STATE), dtype=np.float32)
        sums = xp.zeros((n_pieces, width + _SUM_PADDING), dtype=np.float32)
        problem, n_warps = self._problem(system, long.order), self.schedule.warps[-1]
        pieces = (long.piece_row, long.piece_start, long.piece_stop)
        queue = []
        for number in range(system.steps + 1):
            queue += [
                Launch(
                    "sum_pieces",
                    (n_pieces, 1),
                    n_warps * WARP,
                    (*problem, *pieces, directions, states, sums, int32(number)),
                    _shared_of(n_warps, width),
                ),
                Launch(
                    "step_long_rows",
                    (n_long, 1),
                    WARP,
                    (
                        *problem,
                        long.first_piece,
                        directions,
                        residuals,
                        states,
                        sums,
                        int32(number),
                    ),
                ),
            ]
        return queue


def rounded(backend: Backend, width: int, vectors: Array) -> Array:
    """Return vectors in bfloat16, as uint16."""
    found = backend.xp.empty(vectors.shape, dtype=np.uint16)
    n, n_threads = vectors.size, 256
    launch = Launch(
        "round_rows",
        (in_blocks(n, n_threads), 1),
        n_threads,
        (vectors, found, np.uint64(n)),
    )
    backend.run(program_of(width, "Bfloat16"), [[launch]])
    return found


def widened(vectors: Array) -> Array:
    """Return float32 vectors of the same numbers as bfloat16."""
    wide = vectors.astype(np.uint32)
    wide <<= np.uint32(16)
    return wide.view(np.float32)


def _n_longer(backend: Backend, descending: Array, above: Sequence[int]) -> list[int]:
    """Return how many of some descending lengths are above each of some limits."""
    xp = backend.xp
    limits = xp.asarray(np.array([-one for one in above], dtype=descending.dtype))
    found: list[int] = backend.to_host(xp.searchsorted(-descending, limits, side="left")).tolist()
    return found


def _long_rows(backend: Backend, rows: Rows, order: Array, piece: int) -> _LongRows:
    xp = backend.xp
    starts, stops = (backend.to_host(rows.indptr[order + one]) for one in (0, 1))
    n_pieces = -(-(stops - starts) // piece)
    first_piece = np.concatenate([[0], np.cumsum(n_pieces)])
    piece_row = np.repeat(np.arange(len(starts)), n_pieces)
    within = np.arange(first_piece[-1]) - first_piece[piece_row]
    piece_start = starts[piece_row] + within * piece
    piece_stop = np.minimum(piece_start + piece, stops[piece_row])
    found = (piece_row, piece_start, piece_stop, first_piece)
    return _LongRows(order, *(xp.asarray(one.astype(np.int32)) for one in found))


def _shared_of(n_warps: int, width: int) -> int:
    """Return the shared memory of a block: two sums of each warp; one warp needs none."""
    return 0 if n_warps == 1 else 2 * n_warps * (width + _SUM_PADDING) * 4
