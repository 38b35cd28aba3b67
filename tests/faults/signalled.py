"""Commands that are sent a signal at a random moment; one JSON line for each on stdout.

    python -m tests.faults.signalled FOLDER N SEED COMMAND...

Every command is a fork of this process, which has imported what commands import and starts no
threads. A timer of its own sends the signal: half of them after some processor time, which does not
depend on how busy the machine is, half after some time, as a command also waits.
"""

import atexit
import ctypes
import importlib
import os
import random
import select
import shutil
import signal
import sys
import threading
from collections.abc import Callable
from itertools import count
from pathlib import Path
from time import perf_counter
from typing import Any

import numba
import pyarrow.parquet as pq

from recsys.__main__ import main as recsys_main
from recsys.store import current, prune, publish, verify, versions
from tests.forks import GOT_THROUGH, in_fork, wait_for, write_line
from tests.nightly.nights import as_table
from tests.store.releases import small_release
from tests.worlds import tastes

PRELOADED = [
    "annoy",
    "duckdb",
    "optuna",
    "pandas",
    "recsys.cli",
    "recsys.evaluation.beyond_accuracy",
    "recsys.evaluation.intervals",
    "recsys.evaluation.ranking",
    "recsys.index.build",
    "recsys.models.als.sweep",
    "recsys.nightly",
    "recsys.tuning",
    "tests.warm_fit",
    "tests.warm",
]
TOO_LONG = 120  # seconds after a signal: the process hangs
CONFIG = """
[data]
log = "{log}"
[model]
name = "als"
factors = 8
[index]
kind = "{index}"
[gates]
refuse_above = 1e9
off = ["as_good_as_current"]
[nightly]
store = "{store}"
keep = 3
reuse_unchanged = false
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
    "forest": ("nightly", "--config", "FOREST"),
    "auto": ("train", "LOG", "--store", "STORE"),
    "batch": ("batch", "OUT", "--store", "STORE"),
    "recommend": ("recommend", "u4", "--store", "STORE"),
    "versions": ("versions", "--store", "STORE"),
    "status": ("status", "--store", "STORE"),
    "tune": ("tune", "LOG", "--model", "als", "--trials", "6", "--out", "OUT.toml"),
    "compare": ("compare", "LOG", "--models", "svd,popularity", "--no-tune"),
    "dimensions": ("dimensions", "LOG", "--model", "svd", "--factors", "4,8"),
    "export": ("export", "current", "--to", "pgvector", "--out", "OUT", "--store", "STORE"),
    "ingest": ("evaluate", "--config", "LARGE"),
    "compiled": ("evaluate", "--config", "CONFIG"),  # with an empty cache of Numba
}
ON_A_STORE = {  # which change what others serve: each works on a copy of a store of five versions
    "rollback": ("rollback", "--store", "STORE"),
    "verify": ("verify", "--store", "STORE"),
    "prune": ("prune", "--keep", "1", "--store", "STORE"),
    "prune without locks": ("prune", "--keep", "1", "--without-locks", "--store", "STORE"),
}
N_LARGE = 50_000  # rows of text: reading takes most of the command


def prepare(folder: Path) -> None:
    """Write a log and configurations, and publish a version."""
    log = folder / "log.parquet"
    pq.write_table(as_table(tastes(n_users=80, per_user=12)), log)
    rng = random.Random(0)
    rows = (f"u{rng.randrange(5000)},i{rng.randrange(500)},{n}\n" for n in range(N_LARGE))
    (folder / "large.csv").write_text("user_id,item_id,timestamp\n" + "".join(rows))
    (folder / "large.toml").write_text(LARGE.format(log=folder / "large.csv"))
    for name, index in (("c", "exact"), ("forest", "annoy")):
        config = CONFIG.format(log=log, index=index, store=folder / "store")
        (folder / f"{name}.toml").write_text(config)
    assert run(folder, "train", Moment()).code == 0


class Moment:
    """When a signal is sent to the process that arms it, if at all."""

    def __init__(self, number: int = 0, after: float = 0.0, *, worked: bool = True, twice=False):
        self.number, self.after, self.worked, self.twice = number, after, worked, twice

    def arm(self) -> None:
        """Start the timers of this process."""
        for n in range(1 + self.twice):
            _start_timer(2 if self.worked else 1, self.number, self.after + n * 0.001)


def _start_timer(clock: int, number: int, seconds: float) -> None:
    """Have the kernel send a signal to the main thread, as it does with one from a terminal."""
    libc, to_thread = ctypes.CDLL(None, use_errno=True), 4
    event = (ctypes.c_int32 * 16)(0, 0, number, to_thread, os.getpid())
    timer = ctypes.c_void_p()
    assert libc.timer_create(clock, ctypes.byref(event), ctypes.byref(timer)) == 0
    nanoseconds = max(int(seconds * 1e9), 1)
    when = (ctypes.c_long * 4)(0, 0, nanoseconds // 10**9, nanoseconds % 10**9)
    assert libc.timer_settime(timer, 0, ctypes.byref(when), None) == 0


class Done:
    """How a command ended: exit code, what it wrote to stderr, and the time it took."""

    def __init__(self, code: int, err: str, seconds: float, worked: float) -> None:
        self.code, self.err, self.seconds, self.worked = code, err, seconds, worked


def run(folder: Path, name: str, moment: Moment) -> Done:
    """Run a command in a fork, to its end or until it hangs."""
    out, err = folder / "stdout", folder / "stderr"
    begun = perf_counter()
    child = os.fork()
    if child == 0:
        try:
            be_command(folder, name, moment, out, err)
        finally:
            os._exit(99)
    pidfd = os.pidfd_open(child)
    ended, _, _ = select.select([pidfd], [], [], TOO_LONG + moment.after)
    os.close(pidfd)
    if not ended:
        os.kill(child, signal.SIGKILL)
        wait_for(child)
        return Done(-signal.SIGKILL, "hangs: " + err.read_text(), TOO_LONG, TOO_LONG)
    _, status, usage = os.wait4(child, 0)
    worked = usage.ru_utime + usage.ru_stime
    code = os.waitstatus_to_exitcode(status)
    return Done(code, err.read_text(), perf_counter() - begun, worked)


def be_command(folder: Path, name: str, moment: Moment, out: Path, err: Path) -> None:
    """Be the command: its signal is armed once it hears signals; end as an interpreter does."""
    for path, number in ((out, 1), (err, 2)):
        file = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC)
        os.dup2(file, number)
        os.close(file)
    os.environ |= {"NO_COLOR": "1"}
    if name == "compiled":
        os.environ["NUMBA_CACHE_DIR"] = str(folder / "numba")
        numba.config.reload_config()  # type: ignore[attr-defined]
    sys.argv = ["recsys", *arguments(folder, name)]
    if moment.number:
        _once_heard(moment.arm)
    code = 0
    try:
        recsys_main()
    except SystemExit as error:
        code = int(error.code or 0)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    threading._shutdown()  # type: ignore[attr-defined]
    atexit._run_exitfuncs()
    sys.stdout.flush()
    sys.stderr.flush()
    os._exit(code)


def _once_heard(arm: Callable[[], None]) -> None:
    """Call something right after this process has asked to hear of SIGINT, the last it asks for."""
    real, armed = signal.signal, count()

    def asked(number: int, handler: Any) -> Any:
        before = real(number, handler)
        if number == signal.SIGINT and next(armed) == 0:
            arm()
        return before

    signal.signal = asked  # type: ignore[assignment]


def arguments(folder: Path, name: str) -> list[str]:
    words = {
        "CONFIG": folder / "c.toml",
        "FOREST": folder / "forest.toml",
        "LARGE": folder / "large.toml",
        "STORE": folder / "store",
        "OUT": folder / "out",
        "OUT.toml": folder / "out.toml",
        "LOG": folder / "log.parquet",
    }
    return [str(words.get(one, one)) for one in (COMMANDS | ON_A_STORE)[name]]


def clear(folder: Path, name: str = "") -> None:
    """Remove what a command before has left for the next one to go on with."""
    for left in (folder / "out", folder / "store" / "runs", folder / "numba"):
        shutil.rmtree(left, ignore_errors=True)
    if name in ON_A_STORE:
        five = folder / "five"
        for seed in range(0 if five.exists() else 5):
            assert in_fork(lambda seed=seed: publish(five, small_release(seed=seed))) == GOT_THROUGH
        shutil.rmtree(folder / "store")
        shutil.copytree(five, folder / "store")


def is_whole(folder: Path, *, crashed: bool = False) -> bool:
    """Whether the store is whole; what only a crash may leave is for the next start to remove."""
    store = folder / "store"

    def look() -> None:
        names = [version.name for version in versions(store)]
        assert current(store) in names
        assert crashed or not list((store / "versions").glob(".*"))
        verify(store, names[0])
        prune(store, 3)

    return in_fork(look) == GOT_THROUGH


def signal_command(folder: Path, name: str, n_signals: int, seed: str) -> None:
    """Run a command undisturbed, with a signal each time, and undisturbed again."""
    rng = random.Random(f"{seed} {name}")
    clear(folder, name)
    undisturbed = run(folder, name, Moment())
    write_line(name=name, code=undisturbed.code, err=undisturbed.err, whole=is_whole(folder))
    for _ in range(n_signals):
        clear(folder, name)
        number, twice = rng.choice([signal.SIGINT, signal.SIGTERM]), rng.random() < 0.3
        worked = rng.random() < 0.5
        length = undisturbed.worked if worked else undisturbed.seconds
        moment = Moment(number, rng.uniform(0, length), worked=worked, twice=twice)
        done = run(folder, name, moment)
        facts = {"number": number, "twice": twice, "after": moment.after, "worked": worked}
        whole = is_whole(folder, crashed=twice)
        left = (folder / "out").exists()
        write_line(name=name, code=done.code, err=done.err, whole=whole, left=left, **facts)
    clear(folder, name)
    again = run(folder, name, Moment())
    write_line(name=name, code=again.code, err=again.err, whole=is_whole(folder))
    clear(folder)


def main(folder: Path, n_signals: int, seed: str, *names: str) -> None:
    os.environ.pop("TESTS_CHOICES", None)  # each command does all of its work
    if "compiled" not in names:  # which must not have asked for its cache before
        for module in PRELOADED:
            importlib.import_module(module)
    prepare(folder)
    for name in names:
        signal_command(folder, name, n_signals, seed)


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), *sys.argv[3:])
