"""Kernels on the CPU: the same CUDA C++, compiled by g++ with `cuda_on_cpu.h`, called by ctypes."""

import ctypes
import hashlib
import os
import re
import shutil
import subprocess
from collections.abc import Callable, Mapping, Sequence
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.cuda.backend import Launch, Program

HEADER = Path(__file__).with_name("cuda_on_cpu.h")
COMPILER = shutil.which("g++")
_COMMAND = ("-std=c++17", "-O1", "-U_FORTIFY_SOURCE", "-fPIC", "-shared", "-w", "-x", "c++")
_KERNEL = re.compile(r"__global__ void\s+(?:__launch_bounds__\([^)]*\)\s*)?(\w+)\(")
_OUTCOMES = {1: "deadlock: not all threads come to a barrier", 2: "written behind shared memory"}

Change = Callable[[str], str]
"""Of a source, to plant a fault in it."""


def planted(file: str, faults: Mapping[str, tuple[str, str]]) -> Change:
    """Plant faults in a file, of which the variable `fault` chooses one by its number from 1.

    Each is an expression of the kernels, and what would be wrong in its place.
    """

    def change(source: str) -> str:
        for number, (right, wrong) in enumerate(faults.values(), start=1):
            if file in source:
                assert right in source, right
                source = source.replace(right, f"(fault == {number} ? {wrong} : {right})")
        return f'extern "C" {{ int fault = 0; }}\n{source}'

    return change


class KernelError(Exception):
    """A kernel did what a card would not survive."""


class Emulator:
    """A `recsys.cuda.backend.Backend` without a card: NumPy, and kernels lane by lane.

    Parameters
    ----------
    folder : path
        Where compiled kernels are kept, by what they are compiled of.
    free_bytes : int
        The memory that the card seems to have.
    change : callable, optional
        Changes the source of the kernels.
    """

    xp: Any = np

    def __init__(
        self, folder: Path, *, free_bytes: int = 1 << 40, change: Change = lambda source: source
    ) -> None:
        self.free_bytes = free_bytes
        self._library = cache(lambda program: _compiled(folder, change(program.source)))

    def run(self, program: Program, queues: Sequence[Sequence[Launch]]) -> None:
        for queue in queues:
            for one in queue:
                self._launch(program, one)

    def _launch(self, program: Program, launch: Launch) -> None:
        assert launch.n_threads % 32 == 0
        assert min(launch.grid) > 0, "a card refuses a grid without blocks"
        held = [_argument(one) for one in launch.arguments]
        pointers = (ctypes.c_void_p * len(held))(*(ctypes.addressof(one) for one in held))
        grid = (ctypes.c_int * 2)(*launch.grid)
        start = getattr(self._library(program), f"launch_{launch.kernel}")
        outcome = start(grid, launch.n_threads, launch.n_shared, pointers)
        if outcome:
            raise KernelError(f"{launch.kernel}: {_OUTCOMES[outcome]}")

    def set(self, name: str, value: int, program: Program) -> None:
        """Set a variable of a program."""
        ctypes.c_int.in_dll(self._library(program), name).value = value

    def to_host(self, array: NDArray[Any]) -> NDArray[Any]:
        return array


def _argument(value: Any) -> Any:
    """Return what a kernel takes, in memory of its own: an address, or a scalar."""
    if value is None:
        return ctypes.c_void_p(0)
    if isinstance(value, np.ndarray):
        assert value.flags.c_contiguous
        return ctypes.c_void_p(value.ctypes.data)
    assert isinstance(value, np.generic), f"a scalar of an exact type, not {value!r}"
    return (ctypes.c_char * value.itemsize).from_buffer_copy(value.tobytes())


def _compiled(folder: Path, source: str) -> ctypes.CDLL:
    """Compile a source, or take it from the folder."""
    kernels = "".join(f"KERNEL_ON_CPU({name})\n" for name in _KERNEL.findall(source))
    text = f'#include "{HEADER}"\n{source}\n{kernels}'
    digest = hashlib.sha256((text + HEADER.read_text()).encode()).hexdigest()[:20]
    library = folder / f"{digest}.so"
    if not library.exists():
        aside = folder / f"{digest}.{os.getpid()}"
        command = ["g++", *_COMMAND, "-", "-o", str(aside)]
        done = subprocess.run(command, input=text, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr[:4000]
        aside.replace(library)
    return ctypes.CDLL(str(library))
