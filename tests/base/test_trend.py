"""Sparklines: for a terminal that has the characters, and for nothing else."""

import io

import pytest

from recsys.base.progress import trend


class Terminal(io.TextIOWrapper):
    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("kind", "encoding", "shown"),
    [(Terminal, "utf-8", "▁█"), (Terminal, "ascii", ""), (io.TextIOWrapper, "utf-8", "")],
)
def test_a_sparkline_is_for_a_terminal_that_can_show_it(
    kind: type[io.TextIOWrapper], encoding: str, shown: str
) -> None:
    stream = kind(io.BytesIO(), encoding=encoding)
    assert trend([9.0, 1.0, 2.0], stream, most=2) == shown
    assert trend([], stream) == ""
