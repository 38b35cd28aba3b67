"""How time and memory grow with a log that is larger than memory: 10 M, 30 M and 100 M rows.

    python -m benchmarks.big --rows 10e6 30e6 100e6 --folder FOLDER

Each stage is a command of its own, as a user gives it: `recsys train LOG --model als --factors 64`,
then `recsys batch`. A log is made once, by `benchmarks.make_log`, and stays in the folder; what was
measured is kept beside it in big.jsonl, so that a run which is cut off goes on with the next stage.

Anonymous memory is what no file holds: it is sampled, with that of child processes, from
/proc/PID/status (RssAnon). Mapped files count to the resident set as long as memory is free, and
are given up where it is not: `--limit 6GB` proves that, in a control group of Linux whose processes
are killed above the limit (needs the right to make one, as root has it).
"""

import argparse
import json
import os
import shutil
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

from benchmarks.make_log import write_log
from recsys.base.checks import size_of

USERS, ITEMS, FACTORS = 2_000_000, 500_000, 64
_PAUSE = 0.1  # seconds between two samples
_TOP = Path("/sys/fs/cgroup")


@dataclass(frozen=True)
class Measured:
    """What a stage took."""

    rows: int
    stage: str
    seconds: float
    cpu_seconds: float
    anonymous_bytes: int  # at most
    resident_bytes: int  # at most, of the process itself, mapped files included
    limit: str  # of the control group; empty without


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=float, nargs="+", default=[10e6, 30e6, 100e6])
    parser.add_argument("--users", type=int, default=USERS)
    parser.add_argument("--items", type=int, default=ITEMS)
    parser.add_argument("--folder", type=Path, default=Path("build/big"))
    parser.add_argument("--limit", default="", help="of memory, such as 6GB")
    parser.add_argument("--stages", nargs="+", default=["train", "batch"])
    parser.add_argument("--set", nargs="*", default=[], help="settings of `recsys train`")
    options = parser.parse_args()
    options.folder.mkdir(parents=True, exist_ok=True)
    found = [one for rows in options.rows for one in measure(int(rows), options)]
    print(table(found))


def measure(rows: int, options: argparse.Namespace) -> Iterator[Measured]:
    """Run the stages of one size, and yield what they took; those that were run are read."""
    kept = options.folder / "big.jsonl"
    store, lists = options.folder / f"store-{rows}", options.folder / f"lists-{rows}"
    log = made_log(rows, options)
    set_ = [word for one in options.set for word in ("--set", one)]
    command = [sys.executable, "-m", "recsys"]
    commands = {
        "train": [
            *(*command, "train", str(log), "--store", str(store)),
            *("--model", "als", "--factors", str(FACTORS)),
            *("--set", "gates.enabled=false", *set_),  # drawn events have no taste to learn
        ],
        "batch": [*command, "batch", str(lists), "--store", str(store)],
    }
    for stage in options.stages:
        found = _kept(kept, rows, stage, options.limit)
        if found is None:
            target = store if stage == "train" else lists
            shutil.rmtree(target, ignore_errors=True)
            found = run(rows, stage, commands[stage], options.limit)
            with kept.open("a") as file:
                file.write(json.dumps(asdict(found)) + "\n")
        print(found, file=sys.stderr, flush=True)
        yield found
    if "batch" in options.stages:  # the next size needs the disk
        shutil.rmtree(store, ignore_errors=True)
        shutil.rmtree(lists, ignore_errors=True)


def made_log(rows: int, options: argparse.Namespace) -> Path:
    """Return the log of a size, made if it is not there."""
    log: Path = options.folder / f"log-{rows}.parquet"
    if not log.exists():
        aside = log.with_suffix(".new")
        write_log(aside, rows=rows, users=options.users, items=options.items)
        aside.replace(log)
    return log


def _kept(path: Path, rows: int, stage: str, limit: str) -> Measured | None:
    if not path.exists():
        return None
    lines = [Measured(**json.loads(line)) for line in path.read_text().splitlines()]
    same = [one for one in lines if (one.rows, one.stage, one.limit) == (rows, stage, limit)]
    return same[-1] if same else None


def run(rows: int, stage: str, command: Sequence[str], limit: str) -> Measured:
    """Run a command, and sample its memory."""
    begun, anonymous = time.perf_counter(), 0
    with _group(limit) as group:
        join = f"echo $$ > {group}/cgroup.procs && " if group else ""
        process = subprocess.Popen(["sh", "-c", f'{join}exec "$@"', "sh", *command])
        while True:
            pid, status, usage = os.wait4(process.pid, os.WNOHANG)
            if pid:
                break
            anonymous = max(anonymous, sum(map(_anonymous, _family(process.pid))))
            time.sleep(_PAUSE)
    if code := os.waitstatus_to_exitcode(status):
        raise SystemExit(f"{stage} of {rows:,} rows: expected it to end well, got code {code}")
    return Measured(
        rows=rows,
        stage=stage,
        seconds=time.perf_counter() - begun,
        cpu_seconds=usage.ru_utime + usage.ru_stime,
        anonymous_bytes=anonymous,
        resident_bytes=usage.ru_maxrss * 1024,
        limit=limit,
    )


@contextmanager
def _group(limit: str) -> Iterator[Path | None]:
    """Make a control group with a limit of memory, of either version of Linux's interface."""
    if not limit:
        yield None
        return
    is_first = (_TOP / "memory").is_dir()
    group = (_TOP / "memory" if is_first else _TOP) / f"recsys-big-{os.getpid()}"
    group.mkdir()
    name = "memory.limit_in_bytes" if is_first else "memory.max"
    (group / name).write_text(str(size_of("--limit", limit)))
    try:
        yield group
    finally:
        with suppress(OSError):
            group.rmdir()


def _family(pid: int) -> list[int]:
    """Return a process and its descendants."""
    found = [pid]
    for one in found:
        with suppress(OSError):
            for task in Path(f"/proc/{one}/task").iterdir():
                found += map(int, (task / "children").read_text().split())
    return found


def _anonymous(pid: int) -> int:
    with suppress(OSError):
        for line in Path(f"/proc/{pid}/status").read_text().splitlines():
            if line.startswith("RssAnon:"):
                return int(line.split()[1]) * 1024
    return 0


def table(found: Sequence[Measured]) -> str:
    """Return the table of all sizes, and how time and memory grow with the rows."""
    lines = [
        "| rows | stage | seconds | of a processor | anonymous memory | resident | limit |",
        "|---:|---|---:|---:|---:|---:|---|",
    ]
    lines += [
        f"| {one.rows:,} | {one.stage} | {one.seconds:,.0f} | {one.cpu_seconds:,.0f} | "
        f"{one.anonymous_bytes / 1e9:.2f} GB | {one.resident_bytes / 1e9:.2f} GB | "
        f"{one.limit or '-'} |"
        for one in found
    ]
    for stage in dict.fromkeys(one.stage for one in found):
        of_stage = [one for one in found if one.stage == stage]
        if len(of_stage) > 1:
            lines.append(_growth(stage, of_stage))
    return "\n".join(lines)


def _growth(stage: str, found: Sequence[Measured]) -> str:
    rows = np.array([one.rows for one in found], dtype=np.float64)
    cpu = np.array([one.cpu_seconds for one in found])
    slope = np.polyfit(np.log(rows), np.log(cpu), 1)[0]
    a_row, fixed = np.polyfit(rows, [one.anonymous_bytes for one in found], 1)
    return (
        f"\n{stage}: processor time grows with the rows to the power {slope:.2f}; anonymous memory "
        f"is {fixed / 1e9:.2f} GB and {a_row:.1f} bytes a row"
    )


if __name__ == "__main__":
    main()
