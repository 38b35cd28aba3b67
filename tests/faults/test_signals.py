"""Signals at random moments of commands: none hangs, none leaves half, each says so in one line.

The moments are random; nothing that is asserted depends on when a signal comes.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from tests.faults.signalled import COMMANDS, ON_A_STORE

ROOT = Path(__file__).parents[2]
SIGNALS = int(os.environ.get("RECSYS_SIGNALS", "1"))  # to each command; `make faults` has 500
SEED = os.environ.get("RECSYS_SIGNALS_SEED", "0")
FEW = 10  # for which one process is enough, and which need no slow compilation
TOGETHER = [[name for name in COMMANDS if name != "compiled"]]
ALONE = [[name] for name in COMMANDS | ON_A_STORE]


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timers that send signals")
@pytest.mark.parametrize("names", TOGETHER if SIGNALS < FEW else ALONE, ids=" ".join)
def test_a_signal_at_any_moment(tmp_path: Path, names: list[str]) -> None:
    n_signals = SIGNALS // 25 if names == ["compiled"] else SIGNALS
    program = [sys.executable, "-m", "tests.faults.signalled", tmp_path, str(n_signals), SEED]
    done = subprocess.run([*program, *names], cwd=ROOT, stdout=subprocess.PIPE, text=True)
    assert done.returncode == 0
    found = [json.loads(line) for line in done.stdout.splitlines()]
    for name in names:
        first, *lines, last = [line for line in found if line["name"] == name]
        assert first["code"] == last["code"] == 0, (first, last)
        assert len(lines) == n_signals
        assert all(line["whole"] for line in (first, *lines, last)), (first, lines, last)
        for line in lines:
            check_stopped(line)


def check_stopped(line: dict[str, Any]) -> None:
    """Require that a command ended well, or said in one line what stopped it."""
    err, stopped = line["err"], f"recsys: stopped by {signal.Signals(line['number']).name}"
    assert "Traceback" not in err, line
    assert line["code"] in (0, 128 + line["number"]), line
    if line["code"] and not line["twice"]:
        assert stopped in err, line
        assert sum(one.startswith("recsys: stopped") for one in err.splitlines()) <= 2, line
        assert line["name"] != "export" or not line["left"], line
