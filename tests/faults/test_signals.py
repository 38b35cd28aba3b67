"""Signals at random moments of commands: none hangs, none leaves half, each says so in one line.

The moments are random; nothing that is asserted depends on when a signal comes.
"""

import os
import random
import re
import shutil
import signal
import subprocess
import sys
from pathlib import Path
from time import perf_counter

import pytest

from recsys.store import current, verify, versions
from tests.command_line import run

ROOT = Path(__file__).parents[2]
SIGNALS = int(os.environ.get("RECSYS_SIGNALS", "2"))  # to each command; `make faults` has 500
SEED = int(os.environ.get("RECSYS_SIGNALS_SEED", "0"))
TOO_LONG = 120  # seconds after a signal: the process hangs
LOG = ROOT / "data" / "sample" / "events.parquet"
CONFIG = """
[data]
log = "{log}"
[model]
factors = 8
[index]
kind = "exact"
[gates]
refuse_above = 1e9
off = ["as_good_as_current"]
[nightly]
store = "{store}"
keep = 3
"""
LARGE = """
[data]
log = "{log}"
[model]
name = "popularity"
"""
COMMANDS = {
    "train": ("train", "--config", "CONFIG", "--store", "STORE"),
    "evaluate": ("evaluate", "--config", "CONFIG"),
    "nightly": ("nightly", "--config", "CONFIG"),
    "batch": ("batch", "OUT", "--store", "STORE"),
    "recommend": ("recommend", "u42", "--store", "STORE"),
    "versions": ("versions", "--store", "STORE"),
    "tune": ("tune", "LOG", "--factors", "8", "--trials", "8", "--out", "OUT.toml"),
    "compare": ("compare", "LOG", "--models", "svd,popularity", "--no-tune"),
    "dimensions": ("dimensions", "LOG", "--model", "svd", "--factors", "4,8"),
    "export": ("export", "current", "--to", "pgvector", "--out", "OUT", "--store", "STORE"),
    "ingest": ("evaluate", "--config", "LARGE"),
}
N_LARGE = 300_000 if SIGNALS > 2 else 30_000  # rows of text: reading takes most of the command


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a store of one version."""
    folder = tmp_path_factory.mktemp("signals")
    (folder / "c.toml").write_text(CONFIG.format(log=LOG, store=folder / "store"))
    rng = random.Random(0)
    rows = (f"u{rng.randrange(5000)},i{rng.randrange(500)},{n}\n" for n in range(N_LARGE))
    (folder / "large.csv").write_text("user_id,item_id,timestamp\n" + "".join(rows))
    (folder / "large.toml").write_text(LARGE.format(log=folder / "large.csv"))
    done = run("train", "--config", folder / "c.toml", "--store", folder / "store")
    assert done.returncode == 0, done.stderr
    return folder


def started(place: Path, name: str) -> subprocess.Popen[str]:
    """Start a command, and return when it hears signals."""
    process = subprocess.Popen(
        [sys.executable, "-m", "recsys", *_arguments(place, name)],
        cwd=ROOT,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env={**os.environ, "NO_COLOR": "1"},
    )
    status = Path(f"/proc/{process.pid}/status")
    while process.poll() is None:
        caught = re.search(r"SigCgt:\s*(\w+)", status.read_text())
        if caught and int(caught[1], 16) >> (signal.SIGTERM - 1) & 1:
            break
    return process


def ended(process: subprocess.Popen[str], name: str) -> tuple[str, str]:
    try:
        return process.communicate(timeout=TOO_LONG)
    except subprocess.TimeoutExpired:
        process.kill()
        process.communicate()
        raise AssertionError(f"{name} hangs after its signal") from None


def clear(place: Path) -> None:
    """Remove what a command before has left for the next one to go on with."""
    for left in (place / "out", place / "store" / "runs"):
        shutil.rmtree(left, ignore_errors=True)


def nothing_is_half(place: Path) -> None:
    """Whether the store is as whole as after a crash that left nothing."""
    store = place / "store"
    names = [version.name for version in versions(store)]
    assert current(store) in names
    assert not list((store / "versions").glob(".*"))
    verify(store, names[0])


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux shows who hears signals")
@pytest.mark.parametrize("name", COMMANDS)
def test_a_signal_at_any_moment(place: Path, name: str) -> None:
    rng = random.Random(f"{SEED} {name}")
    begun = perf_counter()
    ended(started(place, name), name)
    seconds = perf_counter() - begun
    for _ in range(SIGNALS):
        clear(place)
        number, twice = rng.choice([signal.SIGINT, signal.SIGTERM]), rng.random() < 0.3
        process = started(place, name)
        try:
            process.wait(rng.uniform(0, seconds))
        except subprocess.TimeoutExpired:
            process.send_signal(number)
            if twice:
                process.send_signal(number)
        _, err = ended(process, name)
        how = f"{number.name}{' twice' if twice else ''}, {process.returncode}"
        what = f"{name}, {how}: {err[-2000:]}"
        assert "Traceback" not in err, what
        assert process.returncode in (0, 128 + number), what
        if process.returncode and not twice:
            assert sum(line.startswith("recsys: stopped") for line in err.splitlines()) <= 2, what
            assert f"recsys: stopped by {number.name}" in err, what
        if not twice:
            nothing_is_half(place)
            assert name != "export" or not process.returncode or not (place / "out").exists(), what
    clear(place)
    again = run(*_arguments(place, name), cwd=ROOT)
    assert again.returncode == 0, again.stderr
    nothing_is_half(place)


def _arguments(place: Path, name: str) -> list[str]:
    words = {
        "CONFIG": place / "c.toml",
        "LARGE": place / "large.toml",
        "STORE": place / "store",
        "OUT": place / "out",
        "OUT.toml": place / "out.toml",
        "LOG": LOG,
    }
    return [str(words.get(one, one)) for one in COMMANDS[name]]
