"""ACTIVATIONS: which versions were current, one after the other, and which one a rollback takes.

One line for each change of CURRENT: the time, "activate" or "rollback", and the version. A line is
written before CURRENT is: who dies in between leaves a last line that CURRENT does not bear out,
which every reader here leaves out. CURRENT alone says what is served.
"""

import re
from collections.abc import Iterable
from datetime import UTC, datetime
from pathlib import Path
from typing import Literal, NamedTuple

from recsys.errors import StoreError
from recsys.store.directory import CURRENT, current, versions
from recsys.store.durable import replace_text

ACTIVATIONS = "ACTIVATIONS"

Kind = Literal["activate", "rollback"]

_LINE = re.compile(r"(\S+) (activate|rollback) (\S+)", re.ASCII)
_MOST_LINES = 1000


class Activation(NamedTuple):
    """One change of what is current.

    Parameters
    ----------
    time : str
        ISO 8601, UTC.
    kind : {"activate", "rollback"}
    version : str
        Its name.
    """

    time: str
    kind: Kind
    version: str


def activations(store: str | Path) -> list[Activation]:
    """Return what was made current, oldest first; the last one is what CURRENT names.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    store = Path(store)
    lines, now = _lines_of(store), _current_if_readable(store)
    if not lines or lines[-1].version != now:
        before = lines[-2].version if len(lines) > 1 else None
        if lines and before == now:  # a writer died before it replaced CURRENT
            lines.pop()
        elif now is not None:  # CURRENT was written by hand, or before there were ACTIVATIONS
            lines.append(Activation(_now(), "activate", now))
    return lines


def version_before(store: str | Path) -> str | None:
    """Return the version that a rollback makes current, None where there is none.

    It undoes activations one by one, as an editor undoes changes: after A, B and C were activated,
    the first rollback takes B and the second one A; what is activated then stands behind A alone.
    Versions that were pruned are passed over.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    *_, now = _not_undone(activations(store)) or [""]
    return next((name for name in served(store) if name != now), None)


def served(store: str | Path) -> list[str]:
    """Return the versions that are or were current, the latest first.

    Those that a rollback has undone or a prune has deleted are left out; the version that is
    current stays in it also where CURRENT is damaged.

    Raises
    ------
    StoreError
        If the store cannot be read.
    """
    there = {version.name for version in versions(store)}
    return [name for name in reversed(_not_undone(activations(store))) if name in there]


def make_current(store: Path, name: str, kind: Kind) -> None:
    """Write ACTIVATIONS, then CURRENT, each at one stroke. One writer at a time."""
    known = activations(store)
    if not known or known[-1].version != name:
        known.append(Activation(_now(), kind, name))
        text = "\n".join(" ".join(activation) for activation in known[-_MOST_LINES:])
        replace_text(store / ACTIVATIONS, text)
    replace_text(store / CURRENT, name)


def _not_undone(history: Iterable[Activation]) -> list[str]:
    """Return the activations that no rollback has undone, as names, oldest first."""
    names: list[str] = []
    for activation in history:
        if activation.kind == "rollback":
            while names and names[-1] != activation.version:
                names.pop()
        if not names or names[-1] != activation.version:
            names.append(activation.version)
    return names


def _lines_of(store: Path) -> list[Activation]:
    """Return the lines that can be understood: a damaged history must not stop a publish."""
    path = store / ACTIVATIONS
    try:
        text = path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return []
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    found = (_LINE.fullmatch(line) for line in text.splitlines())
    return [
        Activation(line[1], "rollback" if line[2] == "rollback" else "activate", line[3])
        for line in found
        if line
    ]


def _current_if_readable(store: Path) -> str | None:
    """Return the current version; a damaged CURRENT must not stop the activation that mends it."""
    try:
        return current(store)
    except StoreError:
        return None


def _now() -> str:
    return datetime.now(UTC).isoformat(timespec="seconds")
