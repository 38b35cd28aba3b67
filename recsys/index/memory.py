"""What the compiled pass reads and writes: plain arrays with names."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
Ints = NDArray[np.int32]
Masks = NDArray[np.uint16]


class Catalogue(NamedTuple):
    """The items as a query reads them.

    Parameters
    ----------
    items : float32 (n_items, factors)
        By row.
    row : int32 (n_items,)
        The row at each position, largest norm first.
    position : int32 (n_items,)
        The position of each row.
    codes : int32 (n_blocks, 1 + factors / 4, 16)
        Of sixteen positions: four numbers in 8 bits in each, and last the bits of their scales.
    scales : float32
        The same memory.
    norms : float32 (n_blocks,)
        The largest of the block.
    errors : float32 (n_blocks,)
        The largest distance between an item and what its code says.
    factor : float32 (n_items,) or (0,)
        What the embedding of each row is multiplied by, such as 1 / norm; empty for ones.
    """

    items: Floats
    row: Ints
    position: Ints
    codes: Ints
    scales: Floats
    norms: Floats
    errors: Floats
    factor: Floats


class Forest(NamedTuple):
    """An Annoy forest over the positions from `first` on.

    Parameters
    ----------
    nodes : int32 (n_nodes, 4 + factors)
        Descendants, children, normal of the splitting plane; or many children.
    normals : float32
        The same memory.
    roots : int32 (n_trees,)
    first : int
        The position of its item 0.
    n_items : int
    """

    nodes: Ints
    normals: Floats
    roots: Ints
    first: int
    n_items: int


class Scratch(NamedTuple):
    """What a query writes to; one for each thread.

    Parameters
    ----------
    mask : uint16 (n_blocks,)
        A bit for each position that may still be found.
    query : int8 (factors,)
        Rounded up to four.
    packed : int32
        The same memory.
    lanes : float32 (16,)
    found : int32 (n_items,)
        Positions of candidates; of one that has been scored exactly, the complement.
    lowest : float32 (n_items,)
        The least that the score of each can be.
    """

    mask: Masks
    query: NDArray[np.int8]
    packed: Ints
    lanes: Floats
    found: Ints
    lowest: Floats


class Query(NamedTuple):
    """A user as the scan reads one: the step of its code, its norm, and how far the code is off."""

    step: float
    norm: float
    error: float
