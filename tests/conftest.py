"""What all tests share."""

import fcntl
import gc
import json
import os
import shutil
import subprocess
import sys
from collections.abc import Generator, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest
from _pytest.doctest import DoctestModule
from hypothesis import HealthCheck, settings

from tests.events.servers import Server, binaries, postgres

ROOT = Path(__file__).parents[1]

# Temporary folders lie in memory where that has room: a store syncs each of its files, and a disk
# makes that most of the time of the suite. What a kill leaves behind is the same on both.
_IN_MEMORY, _ROOM = Path("/dev/shm"), 4 << 30  # noqa: S108
if _IN_MEMORY.is_dir() and shutil.disk_usage(_IN_MEMORY).free >= _ROOM:
    os.environ.setdefault("PYTEST_DEBUG_TEMPROOT", str(_IN_MEMORY))

# Lines of progress appear by the clock: none in what tests compare. One test asks for them.
os.environ["RECSYS_PROGRESS_SECONDS"] = "inf"

# The workers share the cores, and BLAS of each, with a thread for every core, would mostly wait for
# its own. That more threads change no bits, tests with more of them show (tests/test_same_bits.py).
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")

# Bytecode is kept, also where images say not to: each process that a test starts, and each worker,
# would otherwise compile what it imports.
os.environ.pop("PYTHONDONTWRITEBYTECODE", None)
sys.dont_write_bytecode = False

# What tests make is soon garbage without cycles: to look for these as often as Python does takes a
# tenth of the time of some rooms, and of collecting.
gc.set_threshold(50_000, 20, 20)

# Each manifest names a commit, and git takes longer to tell it than a small store to publish.
os.environ.setdefault("RECSYS_COMMIT", "0" * 40)

# The same examples on every run, so that a red build means a change; explore on request:
# HYPOTHESIS_PROFILE=explore make test
_LENIENT = [HealthCheck.too_slow, HealthCheck.filter_too_much]
settings.register_profile(
    "same", deadline=None, derandomize=True, suppress_health_check=_LENIENT, print_blob=True
)
settings.register_profile("explore", deadline=None, max_examples=500)
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "same"))


# What takes longest, of which the first two share a store. It runs first: what comes last is short,
# and no worker waits for another. What shares a session of Spark is there too: one worker has it.
_LONG = [
    *(f"spark/test_{name}.py" for name in ("als", "arrow", "delta", "log", "session", "train")),
    *("test_docs.py", "test_cli.py", "test_wheel.py", "test_same_bits.py", "test_tiny_logs.py"),
    *("faults/test_signals.py", "store/test_faults.py", "faults/test_nights.py"),
    *("store/test_file_systems.py", "nightly/test_night.py", "tuning/test_choice.py"),
]


@pytest.hookimpl(wrapper=True)
def pytest_collect_file() -> Generator[None, list[pytest.Collector], list[pytest.Collector]]:
    """Look for no doctests in tests, which have none: their helpers need not be imported for it."""
    return [one for one in (yield) if not isinstance(one, DoctestModule)]


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """Put the long files first; the others stay in their order."""
    rank = {ROOT / "tests" / name: number for number, name in enumerate(_LONG)}
    items.sort(key=lambda item: rank.get(item.path, len(rank)))


def pytest_collection_finish() -> None:
    """Leave modules and tests, which stay, to no collector, which would look through them."""
    gc.freeze()


@pytest.fixture(scope="session")
def server() -> Iterator[Server]:
    if binaries() is None:
        pytest.skip("needs PostgreSQL: apt-get install postgresql")
    pytest.importorskip("psycopg", reason="make install brings what reaches PostgreSQL")
    with postgres() as started:
        yield started


@pytest.fixture(scope="session")
def real_logs() -> Path:
    """The folder of real logs; a test that asks for it skips where there is none."""
    folder = os.environ.get("RECSYS_DATA", "")
    if not Path(folder or "?").is_dir():
        pytest.skip(f"no real logs: expected RECSYS_DATA to name their folder, got {folder!r}")
    return Path(folder)


@pytest.fixture(scope="session")
def common(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of all workers of this run."""
    own = tmp_path_factory.getbasetemp()
    return own.parent if "PYTEST_XDIST_WORKER" in os.environ else own


@pytest.fixture(scope="session", autouse=True)
def _choices(common: Path) -> None:
    """See tests/choices.py."""
    folder = common / "choices"
    folder.mkdir(exist_ok=True)
    os.environ["TESTS_CHOICES"] = str(folder)


@contextmanager
def one_worker(folder: Path) -> Iterator[None]:
    """Let the other workers wait."""
    with folder.with_suffix(".lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


@pytest.fixture(scope="session")
def demo(common: Path) -> tuple[Path, subprocess.CompletedProcess[str]]:
    """The store that `make demo` makes, to be copied by who changes it, and what it prints."""
    from tests.command_line import run

    folder = common / "demo"
    printed = folder / "printed.json"
    with one_worker(folder):
        if not printed.exists():
            folder.mkdir()
            for name in ("data", "pipelines"):
                (folder / name).symlink_to(ROOT / name)
            config = ("--config", "pipelines/sample.toml")
            done = run("train", *config, "--store", "store", cwd=folder)
            assert done.returncode == 0, done.stderr
            printed.write_text(json.dumps([done.args, 0, done.stdout, done.stderr]))
    return folder / "store", subprocess.CompletedProcess(*json.loads(printed.read_text()))


@pytest.fixture(scope="session")
def sample() -> Path:
    """The bundled sample log."""
    return ROOT / "data" / "sample" / "events.parquet"
