"""The card of this machine, through CuPy: the one file that imports it."""

from collections.abc import Sequence
from functools import cache
from typing import Any

import cupy
import numpy as np
from numpy.typing import NDArray

from recsys.cuda.backend import Array, Launch, Program

_N_STREAMS = 4
_OPTIONS = ("-std=c++17",)


class Card:
    """A CUDA card; a `recsys.cuda.backend.Backend`.

    Raises
    ------
    RuntimeError
        If there is none that works, in the words of CUDA.
    """

    xp: Any = cupy

    def __init__(self) -> None:
        cupy.cuda.runtime.getDeviceCount()
        cupy.zeros(1)  # the driver, and the memory, answer
        self._streams = [cupy.cuda.Stream(non_blocking=True) for _ in range(_N_STREAMS)]

    @property
    def name(self) -> str:
        """The card's own name."""
        properties = cupy.cuda.runtime.getDeviceProperties(cupy.cuda.Device().id)
        return str(properties["name"].decode())

    @property
    def free_bytes(self) -> int:
        """Memory that is free, with what CuPy holds and does not use."""
        free, _ = cupy.cuda.runtime.memGetInfo()
        return int(free + cupy.get_default_memory_pool().free_bytes())

    def run(self, program: Program, queues: Sequence[Sequence[Launch]]) -> None:
        """Launch kernels, each queue in one of a few streams beside that of the arrays."""
        main = cupy.cuda.get_current_stream()
        if len(queues) == 1:
            _launch(program, queues[0])
            return
        main_is_there = main.record()
        streams = self._streams[: len(queues)]
        for stream in streams:
            stream.wait_event(main_is_there)
        for number, queue in enumerate(queues):
            with streams[number % len(streams)]:
                _launch(program, queue)
        for stream in streams:
            main.wait_event(stream.record())

    def to_host(self, array: Array) -> NDArray[Any]:
        """Return an array of NumPy."""
        return cupy.asnumpy(array)  # type: ignore[no-any-return]


def _launch(program: Program, queue: Sequence[Launch]) -> None:
    for one in queue:
        kernel = _kernel(program, one.kernel)
        arguments = tuple(np.uintp(0) if value is None else value for value in one.arguments)
        kernel(one.grid, (one.n_threads,), arguments, shared_mem=one.n_shared)


@cache
def _kernel(program: Program, name: str) -> Any:
    return _module(program).get_function(name)


@cache
def _module(program: Program) -> Any:
    """Compile a program by NVRTC, or take it from CuPy's cache on disk."""
    return cupy.RawModule(code=program.source, options=_OPTIONS, backend="nvrtc")
