"""How a card is driven, with a stand-in for CuPy that keeps what it is told."""

import importlib
import sys
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest

from recsys.cuda.backend import Launch
from recsys.cuda.rows import program_of

PROGRAM = program_of(32, "Bfloat16")


class Told:
    """A CuPy that runs nothing: `done` has what each stream was told, in order."""

    def __init__(self) -> None:
        self.done: list[tuple[Any, ...]] = []
        self.modules: list[tuple[str, tuple[str, ...]]] = []
        told, self.stream = self, "main"

        class Stream:
            n = 0

            def __init__(self, name: str = "", **_options: Any) -> None:
                self.name = name or f"side {Stream.n}"
                Stream.n += not name

            def record(self) -> str:
                return f"event of {self.name}"

            def wait_event(self, event: str) -> None:
                told.done.append((self.name, "waits for", event))

            def __enter__(self) -> None:
                told.stream = self.name

            def __exit__(self, *_error: object) -> None:
                told.stream = "main"

        def raw_module(code: str, options: tuple[str, ...], backend: str) -> SimpleNamespace:
            self.modules.append((code, options))
            return SimpleNamespace(
                get_function=lambda name: lambda *args, **kw: told.run(name, args, kw)
            )

        self.main = Stream("main")
        pool = SimpleNamespace(free_bytes=lambda: 5)
        runtime = SimpleNamespace(getDeviceCount=lambda: 1, memGetInfo=lambda: (7, 9))
        self.cupy = SimpleNamespace(
            zeros=np.zeros,
            asnumpy=np.asarray,
            RawModule=raw_module,
            get_default_memory_pool=lambda: pool,
            cuda=SimpleNamespace(
                Stream=Stream, runtime=runtime, get_current_stream=lambda: self.main
            ),
        )

    def run(self, name: str, args: tuple[Any, ...], kw: dict[str, Any]) -> None:
        self.done.append((self.stream, name, *args[:2], kw["shared_mem"]))


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Iterator[Told]:
    found = Told()
    monkeypatch.setitem(sys.modules, "cupy", found.cupy)
    before = sys.modules.pop("recsys.cuda.card", None)
    yield found
    del sys.modules["recsys.cuda.card"]  # it has the stand-in
    if before is not None:
        sys.modules["recsys.cuda.card"] = before


def test_queues_run_at_once_between_what_the_arrays_waited_for_and_what_waits(told: Told) -> None:
    card = importlib.import_module("recsys.cuda.card").Card()
    assert card.free_bytes == 12
    first, second = Launch("solve_rows", (7, 1), 64, (), 96), Launch("step_rows", (5, 1), 32, ())
    card.run(PROGRAM, [[first]])
    assert told.done == [("main", "solve_rows", (7, 1), (64,), 96)]  # one needs no other stream
    told.done.clear()
    card.run(PROGRAM, [[first, second], [second]])
    assert told.done == [
        ("side 0", "waits for", "event of main"),
        ("side 1", "waits for", "event of main"),
        ("side 0", "solve_rows", (7, 1), (64,), 96),
        ("side 0", "step_rows", (5, 1), (32,), 0),
        ("side 1", "step_rows", (5, 1), (32,), 0),
        ("main", "waits for", "event of side 0"),
        ("main", "waits for", "event of side 1"),
    ]
    assert [(code == PROGRAM.source, options) for code, options in told.modules] == [
        (True, ("-std=c++17",))  # compiled once
    ]
