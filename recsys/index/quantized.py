"""Items quantized to 8 bits a number, in the order of their norms: what a query scans."""

from dataclasses import dataclass, fields
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.reading import damaged, open_array
from recsys.index import compiled
from recsys.vectors import FloatMatrix
from recsys.vectors.vector import norms_of

PER_BLOCK = 16
"""Positions that are scanned together."""

_PER_INT = 4


@dataclass(frozen=True, eq=False)
class Codes:
    """Items in 8 bits; `catalogue_t` of kernel.c says what each array is."""

    row: NDArray[np.int32]  # (n_items,)
    position: NDArray[np.int32]  # (n_items,)
    codes: NDArray[np.int32]  # (n_blocks, 1 + factors / 4, 16)
    bounds: NDArray[np.float32]  # (2, n_blocks): the norms and the errors
    factor: NDArray[np.float32]  # (n_items,) or (0,)


def encode_items(
    items: FloatMatrix,
    *,
    cosine: bool = False,
    row: NDArray[np.int32] | None = None,  # of each position; default: in the order of norms
) -> Codes:
    """Quantize items to 8 bits, each with a scale of its own.

    An item y with largest magnitude m is ``m / 127`` times whole numbers from -127 to 127. Of each
    block the largest norm and the largest error of rounding are kept, from which the kernel knows
    how far a score can be off.
    """
    n_items, factors = items.shape
    items = np.ascontiguousarray(items, dtype=np.float32)
    norms = norms_of(items)
    factor = _inverse(norms) if cosine else np.empty(0, dtype=np.float32)
    if row is None:
        row = np.argsort(-np.sign(norms) if cosine else -norms, kind="stable").astype(np.int32)
    position = np.empty(n_items, dtype=np.int32)
    position[row] = np.arange(n_items)
    n_blocks, width = -(-n_items // PER_BLOCK), -(-factors // _PER_INT)
    codes = np.empty((n_blocks, width + 1, PER_BLOCK), dtype=np.int32)
    bounds = np.empty((2, n_blocks), dtype=np.float32)
    vector = np.empty(_PER_INT * width, dtype=np.float32)
    compiled.library.encode_items(
        compiled.address(items, np.float32),
        compiled.address(factor, np.float32) if cosine else None,
        compiled.address(row, np.int32),
        n_items,
        factors,
        *(compiled.address(one, one.dtype) for one in (vector, codes, *bounds)),
    )
    return Codes(row, position, codes, bounds, factor)


def write_codes(codes: Codes, folder: Path) -> None:
    """Write codes as files of a folder."""
    for field in fields(Codes):
        np.save(folder / f"{field.name}.npy", getattr(codes, field.name))


def open_codes(folder: Path, n_items: int, factors: int) -> Codes:
    """Open, memory-mapped, what `write_codes` wrote for items of this shape."""
    n_blocks = -(-n_items // PER_BLOCK)
    # An empty file means a factor of 1 for each item.
    n_factors = open_array(folder / "factor.npy").size
    expected: dict[str, tuple[Any, tuple[int, ...]]] = {
        "row": (np.int32, (n_items,)),
        "position": (np.int32, (n_items,)),
        "codes": (np.int32, (n_blocks, 1 + -(-factors // _PER_INT), PER_BLOCK)),
        "bounds": (np.float32, (2, n_blocks)),
        "factor": (np.float32, (n_items if n_factors else 0,)),
    }
    codes = Codes(
        **{name: open_array(folder / f"{name}.npy", *kind) for name, kind in expected.items()}
    )
    if not _are_inverse(codes.row, codes.position):
        raise damaged(folder / "row.npy", "expected the position of every row and back, got others")
    return codes


def _are_inverse(row: NDArray[np.int32], position: NDArray[np.int32]) -> bool:
    """Return whether each row has one position, and that leads back."""
    n = len(row)
    if n and row.view(np.uint32).max() >= n:
        return False
    return bool(np.array_equal(position[row], np.arange(n, dtype=np.int32)))


def _inverse(norms: NDArray[np.float64]) -> NDArray[np.float32]:
    """Return 1 / norm, and 0 of a zero vector."""
    inverse = np.divide(1, norms, out=np.zeros_like(norms), where=norms > 0)
    return inverse.astype(np.float32)
