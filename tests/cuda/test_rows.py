"""The kernels of ALS rows, run on the CPU, against their NumPy twin; and with faults in them."""

from pathlib import Path

import numpy as np
import pytest

from recsys.cuda.backend import Backend
from recsys.cuda.csr import Rows
from recsys.cuda.rows import WIDTHS, Number, Plan, Schedule, program_of, rounded, width_of
from recsys.errors import ConfigError
from tests.cuda.emulator import Emulator, KernelError, planted
from tests.cuda.rows_twin import Case, by_kernels, by_numpy, case_of

# One column more and less than what a warp, a tile and a block hold; classes of 1, 2 and 3 warps;
# rows in two and in three pieces; rows without columns.
LENGTHS = [1, 2, 7, 8, 9, 0, 31, 32, 33, 63, 64, 65, 96, 97, 129, 130, 193, 257, 0, 400]
SCHEDULE = Schedule(warps=(1, 2, 3), columns_per_warp=64, longest=256, piece=130)
OF_ROWS, OF_LOSSES = 2e-6, 2e-5  # how far float32 may be off
SHAPES: list[tuple[Number, int]] = [
    *(("Bfloat16", 32), ("Bfloat16", 64), ("Bfloat16", 128), ("Bfloat16", 512)),
    *(("Float32", 32), ("Float32", 256)),
]


def errors(
    backend: Backend, case: Case, number: Number, steps: int, tolerance: float = 0.0
) -> tuple[float, float]:
    """Return how far rows and their losses are off, relative to the largest."""
    got, losses, fixed = by_kernels(backend, case, number, steps, tolerance, SCHEDULE)
    want, expected = by_numpy(case, fixed, steps, tolerance)
    has_columns = np.diff(case.rows.indptr) > 0
    assert np.array_equal(got[~has_columns], case.system["vectors"][~has_columns])  # untouched
    off = np.linalg.norm(got - want, axis=1) / np.linalg.norm(want, axis=1)
    return float(off.max()), float(np.abs(losses / expected - 1)[has_columns].max())


@pytest.mark.parametrize(("number", "width"), SHAPES, ids=str)
@pytest.mark.parametrize("steps", [1, 3])
def test_kernels_take_the_steps_of_the_twin(
    emulator: Emulator, number: Number, width: int, steps: int
) -> None:
    of_rows, of_losses = errors(emulator, case_of(LENGTHS, width, seed=width), number, steps)
    assert of_rows < OF_ROWS
    assert of_losses < OF_LOSSES


def test_rows_that_are_solved_take_no_more_steps(emulator: Emulator) -> None:
    case = case_of(LENGTHS, 64, seed=3)
    case.system["pulls"][:], case.system["vectors"][:] = 0, 0
    many, _, fixed = by_kernels(emulator, case, "Float32", 90, 1e-6, SCHEDULE)
    want, _ = by_numpy(case, fixed, 90, 1e-9)
    assert (np.linalg.norm(many - want, axis=1) <= 1e-5 * np.linalg.norm(want, axis=1)).all()
    case.rows.weights[:] = -1  # nothing to reach: the residual is zero, and so is every step
    still, losses, _ = by_kernels(emulator, case, "Float32", 5, 1e-6, SCHEDULE)
    assert not still.any()
    assert np.nansum(losses) == 0


FAULTS = {  # an expression of the kernels, and what would be wrong in its place
    "a barrier is missing": ("__syncthreads()", "(void)0"),
    "a barrier is that of one warp": ("__syncthreads()", "at.warp ? (void)0 : __syncthreads()"),
    "sums do not take turns": ("turn ^= 1", "turn ^= 0"),
    "a sum of a warp is in the room of the next": ("at.warp * PART", "(at.warp + 1) * PART"),
    "a score is taken from another lane": ("m * SHARERS", "m"),
    "a lane takes the column of a neighbour": ("in_group * OWN + i", "in_group * OWN + 1 - i"),
    "the last column is left out": (
        "j < stop ? a.columns[j] : -1",
        "j + 1 < stop ? a.columns[j] : -1",
    ),
    "a weight behind the row counts": ("j < stop ? a.weights[j] : 0.0f", "a.weights[j]"),
    "pieces of a long row overlap": ("piece_start[piece]", "piece_start[piece] - 1"),
    "a row of many lanes counts squares twice": ("(1.0f / SHARERS)", "1.0f"),
    "groups of a warp are not summed": ("offset < WARP", "offset < GROUP"),
    "a disliked column pulls up": ("tile.weight[i] > 0", "tile.weight[i] != 0"),
}


def test_every_fault_in_the_kernels_is_found(kernels: Path) -> None:
    emulator = Emulator(kernels, change=planted("rows.cu", FAULTS))
    # Of the widths, the one has dot products of two columns in a lane, the other of one in two.
    cases = [case_of(LENGTHS, width, seed=width) for width in (32, 128)]

    def is_right(fault: int) -> bool:
        for case in cases:
            emulator.set("fault", fault, program_of(case.fixed.shape[1], "Bfloat16"))
            try:
                of_rows, of_losses = errors(emulator, case, "Bfloat16", steps=3)
            except KernelError:
                return False
            if not (of_rows < OF_ROWS and of_losses < OF_LOSSES):
                return False
        return True

    assert is_right(0)
    assert [name for number, name in enumerate(FAULTS, start=1) if is_right(number)] == []


def test_each_row_is_in_one_class(emulator: Emulator) -> None:
    case = case_of(LENGTHS, 32)
    plan = Plan.of(emulator, case.rows, SCHEDULE)
    assert plan.long is not None
    assert sorted(
        np.concatenate([plan.empty, plan.long.order, *(c for _, c in plan.classes)])
    ) == list(range(len(LENGTHS)))
    lengths = np.array(LENGTHS)
    for n_warps, order in plan.classes:
        assert (lengths[order] <= n_warps * 64).all() or n_warps == 3
        assert (lengths[order] > (n_warps - 1) * 64).all()
        assert (np.diff(lengths[order]) <= 0).all()  # longest first
    assert (lengths[plan.long.order] > 256).all()
    assert not lengths[plan.empty].any()
    only_empty = Rows(0, np.zeros(4, np.int32), np.empty(0, np.int32), np.empty(0, np.float32))
    assert len(Plan.of(emulator, only_empty).empty) == 3


def test_bfloat16_is_rounded_to_even_and_no_number_stays_none(emulator: Emulator) -> None:
    bits = np.array(
        [0x3F808000, 0x3F818000, 0x3F808001, 0x7F800000, 0x7FFFFFFF, 0x80000000, 0x7F7FFFFF],
        np.uint32,
    )
    found = rounded(emulator, 32, bits.view(np.float32))
    assert found.tolist() == [0x3F80, 0x3F82, 0x3F81, 0x7F80, 0x7FFF, 0x8000, 0x7F80]


def test_factors_are_padded_to_the_next_kernel() -> None:
    assert [width_of(one) for one in (1, 32, 33, 300, 512)] == [32, 32, 64, 512, 512]
    with pytest.raises(ConfigError, match="at most 512 on a card, got 513; lower factors"):
        width_of(WIDTHS[-1] + 1)
