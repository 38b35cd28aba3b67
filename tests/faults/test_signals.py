"""Signals at random moments of commands: none hangs, none leaves half, each says so in one line.

The moments are random; nothing that is asserted depends on when a signal comes.
"""

import json
import os
import signal
import subprocess
import sys
from pathlib import Path

import pytest

from tests.faults.signalled import COMMANDS

ROOT = Path(__file__).parents[2]
SIGNALS = int(os.environ.get("RECSYS_SIGNALS", "2"))  # to each command; `make faults` has 500
SEED = os.environ.get("RECSYS_SIGNALS_SEED", "0")
N_SIGNALS = dict.fromkeys(COMMANDS, SIGNALS) | {"compiled": SIGNALS // 25}  # compiling is slow


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux has timers that send signals")
@pytest.mark.parametrize("name", [name for name, n in N_SIGNALS.items() if n])
def test_a_signal_at_any_moment(tmp_path: Path, name: str) -> None:
    done = subprocess.run(
        [
            sys.executable,
            "-m",
            "tests.faults.signalled",
            tmp_path,
            name,
            str(N_SIGNALS[name]),
            SEED,
        ],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        text=True,
    )
    assert done.returncode == 0
    first, *lines, last = map(json.loads, done.stdout.splitlines())
    assert first["code"] == last["code"] == 0, (first, last)
    assert all(line["whole"] for line in (first, last))
    assert len(lines) == N_SIGNALS[name]
    for line in lines:
        err, stopped = line["err"], f"recsys: stopped by {signal.Signals(line['number']).name}"
        assert "Traceback" not in err, line
        assert line["code"] in (0, 128 + line["number"]), line
        assert line["whole"], line
        if line["code"] and not line["twice"]:
            assert stopped in err, line
            assert sum(one.startswith("recsys: stopped") for one in err.splitlines()) <= 2, line
            assert name != "export" or not line["left"], line
