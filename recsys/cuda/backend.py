"""What runs kernels: a card through CuPy, or, in the tests, an emulator and NumPy."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.resources import files
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

WARP = 32  # threads that run in step

Array = Any
"""An array of the array module of a `Backend`."""


@dataclass(frozen=True)
class Program:
    """Kernels that are compiled together: files of this room, and what is defined for them.

    Examples
    --------
    >>> program = Program(("lanes.cu",), (("FACTORS", 64),))
    >>> program.source.splitlines()[:2]
    ['#define FACTORS 64', '#line 1 "lanes.cu"']
    """

    files: tuple[str, ...]
    defines: tuple[tuple[str, str | int], ...] = ()

    @property
    def source(self) -> str:
        """CUDA C++, whose errors name the file and the line."""
        defines = [f"#define {name} {value}\n" for name, value in self.defines]
        folder = files(__package__)
        sources = [f'#line 1 "{one}"\n{folder.joinpath(one).read_text()}' for one in self.files]
        return "".join([*defines, *sources])


@dataclass(frozen=True)
class Launch:
    """A kernel with its grid and its arguments: arrays, and NumPy's scalars of the exact type."""

    kernel: str
    grid: tuple[int, int]
    n_threads: int  # of a block, whole warps
    arguments: tuple[Any, ...]
    n_shared: int = 0  # bytes of shared memory of a block


class Backend(Protocol):
    """An array module, and what launches kernels on its arrays."""

    @property
    def xp(self) -> Any:
        """NumPy, or CuPy."""

    @property
    def free_bytes(self) -> int:
        """Memory that arrays may still take."""

    def run(self, program: Program, queues: Sequence[Sequence[Launch]]) -> None:
        """Launch kernels: those of a queue in order, queues at once.

        What is done with the arrays afterwards waits for all of them.
        """

    def to_host(self, array: Array) -> NDArray[Any]:
        """Return an array of NumPy."""


def in_blocks(n: int, size: int) -> int:
    """Return how many blocks of a size hold n."""
    return -(-n // size)


def int32(value: int) -> np.int32:
    """Return what a kernel takes as an int."""
    return np.int32(value)
