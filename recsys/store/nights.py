"""The last nights of a store: what each left of itself, read without what makes nights."""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.base.errors import StoreError
from recsys.base.locks import is_held
from recsys.base.reading import errors_of_reading
from recsys.store.prune import stray

RUNS = "runs"
"""The folder of the runs of nights."""
STATE, REPORT = "state.json", "report.json"
"""The files of a run: which stages are finished, and what the whole found out."""
NIGHT_LOCK = ".nightly.lock"
"""Held while a night works on the store."""

_NAME = re.compile(r"\d{8}T\d{6}Z", re.ASCII)


@dataclass(frozen=True)
class NightSummary:
    """One of the last nights; `reported` holds the checks not passed and the warnings.

    Its result is that of its report, "running", "killed", or "unknown" where it cannot be read.
    """

    run: str
    result: str
    version: str | None
    newest_event: str | None
    error: str | None
    reported: tuple[str, ...]


def nights_of(
    store: Path, most: int, stages: Sequence[str] = ()
) -> tuple[tuple[NightSummary, ...], str | None]:
    """Return the last nights, newest first, and why they cannot be read.

    Parameters
    ----------
    stages : sequence of str
        The names of all stages, in their order: a killed night says in which it was.
    """
    runs = store / RUNS
    if os.path.lexists(runs) and not runs.is_dir():
        return (), stray(runs, "a folder")
    try:
        return tuple(_nights(store, most, stages)), None
    except StoreError as error:
        return (), str(error)


def _nights(store: Path, most: int, stages: Sequence[str]) -> Iterator[NightSummary]:
    runs = runs_in(store)
    is_running = is_held(store / NIGHT_LOCK)
    for folder in reversed(runs[-most:]):
        finished = _finished(folder)
        try:
            if finished is None:
                yield _night(json.loads((folder / REPORT).read_bytes()))
            elif is_running and folder == runs[-1]:
                yield NightSummary(folder.name, "running", None, None, None, ())
            else:
                left = [name for name in stages if name not in finished] or stages[-1:]
                yield NightSummary(folder.name, "killed", None, None, _killed_in(left), ())
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            reason = f"{folder / REPORT}: cannot be read: {error}"
            yield NightSummary(folder.name, "unknown", None, None, reason, ())


def _finished(folder: Path) -> set[str] | None:
    """Return the finished stages of a run; None where it has come to an end, or does not say."""
    try:
        state = read_state(folder)
        return set(state["stages"]) if state["result"] == "running" else None
    except FileNotFoundError:  # killed before its first state
        return set()
    except (OSError, ValueError, KeyError, TypeError, AttributeError):
        return None


def _killed_in(left: Sequence[str]) -> str:
    stage = f" in its stage {left[0]}" if left else ""
    return (
        f"it ended{stage} and could report nothing: killed, out of memory, or the disk was full; "
        "the next night goes on from there"
    )


def _night(report: Mapping[str, Any]) -> NightSummary:
    facts = {stage["name"]: stage["facts"] for stage in report["stages"]}
    reported = [*facts.get("gates", {}).get("sentences", ()), *report.get("warnings", ())]
    return NightSummary(
        run=report["run"],
        result=report["result"],
        version=report["version"],
        newest_event=facts.get("ingest", {}).get("newest_event"),
        error=report["error"],
        reported=tuple(reported),
    )


def runs_in(store: Path, name: str = RUNS) -> list[Path]:
    """Return the folders of the runs of a store, oldest first; UnreadableError where it may not."""
    folder = store / name
    with errors_of_reading(folder):
        return sorted(
            path
            for path in (folder.iterdir() if folder.is_dir() else ())
            if _NAME.fullmatch(path.name) and path.is_dir() and not path.is_symlink()
        )


def read_state(folder: Path) -> dict[str, Any]:
    """Read the state of a run; OSError, ValueError and others where that is damaged."""
    content: dict[str, Any] = json.loads((folder / STATE).read_bytes())
    if content.pop("sha256") != checksum_of(content):
        raise ValueError("the checksum differs")
    return content


def checksum_of(content: Mapping[str, Any]) -> str:
    """Return the checksum that the state of a run is kept with."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()
