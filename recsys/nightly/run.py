"""One run of the night on the disk: which stages are finished, and what they left."""

import json
import shutil
import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

from recsys.base.durable import appearing, moment_of, replace_text, sha256_of, stamp_of, sync
from recsys.base.plain import plain
from recsys.nightly.report import Result, StageReport
from recsys.store import FileFacts, versions
from recsys.store.nights import RUNS, STATE, checksum_of, read_state, runs_in
from recsys.store.prune import delete_folder

REFRESHES = "refreshes"
"""The folder of the runs of refreshes."""
_CLOSED = ("done", "refused")


@dataclass(frozen=True)
class Finished:
    """A finished stage, as the state of a run keeps it."""

    key: str  # `Stage.key`
    report: StageReport
    files: Mapping[str, FileFacts] = field(default_factory=dict)  # by path inside its folder

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {
            "key": self.key,
            "seconds": self.report.seconds,
            "peak_bytes": self.report.peak_bytes,
            "facts": plain(self.report.facts),
            "files": {name: asdict(facts) for name, facts in self.files.items()},
        }

    @classmethod
    def from_dict(cls, name: str, content: Mapping[str, Any]) -> "Finished":
        """Return what `to_dict` has written of the stage of that name."""
        known = (content["seconds"], content["peak_bytes"], content["facts"])
        files = {file: FileFacts(**facts) for file, facts in content["files"].items()}
        return cls(content["key"], StageReport(name, "done", *known), files)


@dataclass
class Run:
    """A run: its folder, and the state that is replaced whenever a stage is finished."""

    folder: Path  # runs/<name>; the name is its time
    now: int  # seconds since 1970 when it began; later events are in the future, also after a crash
    parent: str | None = None  # current when it began; where that is damaged, the last sound one
    result: Result = "running"
    stages: dict[str, Finished] = field(default_factory=dict)

    @property
    def name(self) -> str:
        """Its id, such as ``20261120T020000Z``."""
        return self.folder.name

    @property
    def is_night(self) -> bool:
        """Whether it is that of a night, not of a refresh."""
        return self.folder.parent.name == RUNS

    def output(self, stage: str) -> Path:
        """Return the folder of a stage's outputs."""
        return self.folder / stage

    def facts(self, stage: str) -> Mapping[str, Any]:
        """Return what a finished stage found out."""
        return self.stages[stage].report.facts

    def is_finished(self, stage: str, key: str) -> bool:
        """Return whether a stage is finished under the same key."""
        return stage in self.stages and self.stages[stage].key == key

    def damaged(self, stage: str) -> Path | None:
        """Return the first output of a finished stage that is not as it was written."""
        for name, facts in self.stages[stage].files.items():
            path = self.output(stage) / name
            if not path.is_file() or path.stat().st_size != facts.bytes:
                return path
            if sha256_of(path) != facts.sha256:
                return path
        return None

    @contextmanager
    def making(self, stage: str) -> Iterator[Path]:
        """Yield a folder for a stage's outputs, which becomes `output(stage)` at the end.

        What an earlier try has left is deleted, and the stage is no longer finished.
        """
        if self.stages.pop(stage, None) is not None:
            self.save()
        target = self.output(stage)
        shutil.rmtree(target, ignore_errors=True)
        with appearing(target, self.folder / f".{stage}") as aside:
            yield aside

    def finish(self, stage: str, finished: Finished) -> None:
        """Keep a finished stage; from now on it is not done again."""
        self.stages[stage] = finished
        self.save()

    def save(self) -> None:
        """Replace the state on the disk."""
        content = {
            "now": self.now,
            "parent": self.parent,
            "result": self.result,
            "stages": {name: stage.to_dict() for name, stage in self.stages.items()},
        }
        text = json.dumps(content | {"sha256": checksum_of(content)})
        replace_text(self.folder / STATE, text)


def now_of(store: Path) -> int:
    """Return the time in seconds since 1970: the clock's, but later than every version and run.

    After the clock was set back yesterday's events would be in the future, and tonight's names
    older than yesterday's.
    """
    names = [version.name.partition("-")[0] for version in versions(store)[:1]]
    for folder in (RUNS, REFRESHES):
        names += sorted(path.name for path in runs_in(store, folder))[-1:]
    known = [int(moment_of(name).timestamp()) + 1 for name in names]
    return max([int(time.time()), *known])


def new_run(store: Path, now: int, parent: str | None, name: str = RUNS) -> Run:
    """Begin a run."""
    folder = store / name / stamp_of(datetime.fromtimestamp(now, UTC))
    folder.mkdir(parents=True)
    sync(folder.parent)
    run = Run(folder, now, parent)
    run.save()
    return run


def unfinished_run(store: Path, name: str = RUNS) -> tuple[Run | None, Path | None]:
    """Return the newest run if it is unfinished, and the path of its state if that is damaged.

    A run whose state cannot be trusted is not resumed: all of it is done again.
    """
    for folder in runs_in(store, name)[-1:]:
        path = folder / STATE
        try:
            run = read_run(folder)
        except FileNotFoundError:  # killed before its first state
            return None, None
        except (OSError, ValueError, KeyError, TypeError, AttributeError):
            return None, path
        return (None if run.result in _CLOSED else run), None
    return None, None


def drop_old_runs(store: Path, keep: int, name: str = RUNS) -> list[str]:
    """Delete all but the newest runs, and all outputs; called when a run is finished.

    Returns a sentence for everything that another user's rights protect: it is passed over.
    """
    runs = runs_in(store, name)
    n_dropped = max(len(runs) - keep, 0)
    left = [delete_folder(folder, "a run") for folder in runs[:n_dropped]]
    for folder in runs[n_dropped:]:
        try:
            outputs = [path for path in folder.iterdir() if path.is_dir()]
        except OSError as error:
            left.append(f"{folder}: cannot be read: {error.strerror}; passed over")
            continue
        left += [delete_folder(output, "what a stage left") for output in outputs]
    return [sentence for sentence in left if sentence is not None]


def read_run(folder: Path) -> Run:
    """Read the state of a run; OSError, ValueError and others where that is damaged."""
    content = read_state(folder)
    stages = {name: Finished.from_dict(name, stage) for name, stage in content["stages"].items()}
    return Run(folder, content["now"], content["parent"], content["result"], stages)
