"""The versions of a store, and which one is current.

Four calls lead from a store to what a version holds::

    find_version(store, name)   the `Version`: a name and a folder; nothing is read
    Content.of(version)         its files, checked and mapped into memory
    open_version(store, name)   both, also while another process prunes or publishes
    recsys.open(store)          a `Recommender` over them
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.checks import require_a
from recsys.base.durable import identity_of, moment_of
from recsys.base.errors import CorruptVersionError, StoreError, VersionNotFoundError
from recsys.base.lazy import lazy_property
from recsys.base.reading import errors_of_reading, fault_of
from recsys.base.tables import TableList
from recsys.store.evaluation_summary import EvaluationSummary
from recsys.store.manifest import Manifest, read_manifest
from recsys.store.remote import RemoteStore, remote_of, shown_store, store_folder
from recsys.store.version_copies import CURRENT as CURRENT
from recsys.store.version_copies import VERSIONS as VERSIONS

if TYPE_CHECKING:
    import pyarrow as pa

    from recsys.base.charts import LinePlot


CURRENT_LOCK = ".current.lock"
"""Held for an instant by a process that changes CURRENT, ACTIVATIONS or PINNED, or prunes."""

PUBLISH_LOCK = ".publish.lock"
"""Held throughout by a process that publishes or prunes; taken before the other lock."""

_NAME = re.compile(r"(\d{8}T\d{6}Z)-[0-9a-f]{8}", re.ASCII)


@dataclass(frozen=True, repr=False)
class Version:
    """One published directory.

    Parameters
    ----------
    name : str
        Such as ``20261120T020000Z-3f2a91bc``.
    staged : Manifest, optional
        Of a version that is being published: the folder holds no manifest yet.
    """

    name: str
    folder: Path
    staged: Manifest | None = field(default=None, repr=False, compare=False)

    @lazy_property
    def manifest(self) -> Manifest:
        """What the version holds and how it was made; a CorruptVersionError if it is damaged."""
        if self.staged is not None:
            return self.staged
        if self.remote is not None and not self.folder.is_dir():
            return self.remote.manifest(self.name)
        return read_manifest(self.folder)

    @property
    def remote(self) -> RemoteStore | None:
        """The store at an address that has it: the folder is a copy, which may not be there yet."""
        return remote_of(self.folder.parents[1])

    @property
    def metrics(self) -> Mapping[str, EvaluationSummary]:
        """What its model, and popularity, reached on the test part: a table for each, by name."""
        return self.manifest.metrics

    def absolute(self) -> "Version":
        """Return the version at a path that holds wherever the process works."""
        return Version(self.name, self.folder.absolute(), self.staged)

    @property
    def n_bytes(self) -> int:
        """Bytes of all its files."""
        if self.remote is not None:
            return sum(facts.bytes for facts in self.remote.files(self.name).values())
        return sum(path.stat().st_size for path in self.folder.rglob("*") if path.is_file())

    def __str__(self) -> str:
        return self.name

    def __repr__(self) -> str:
        return f"Version({self.name!r} in {shown_store(self.folder.parents[1])!r})"

    def _repr_html_(self) -> str:
        return Versions([self])._repr_html_()


class Versions(TableList[Version]):
    """Versions of one store: a list, and a table of what their manifests hold."""

    def to_arrow(self) -> "pa.Table":
        """Return one row per version: its name, model, sizes, main metric and state."""
        from recsys.store.listing import table_of_versions  # it imports this module

        return table_of_versions(self)

    def charts(self) -> "list[LinePlot]":
        """Return the main metric of the versions, the oldest first."""
        from recsys.store.listing import chart_of_versions  # likewise

        return chart_of_versions(self)

    def caption(self) -> str:
        """Return where the versions are."""
        return f"versions in {shown_store(self[0].folder.parents[1])}" if self else "no versions"


def versions(store: str | Path) -> Versions:
    """List the versions of a store, newest first.

    Returns
    -------
    list of Version
        Also a table: ``to_pandas()``, ``to_polars()`` and ``to_arrow()`` give one row per version.

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.

    See Also
    --------
    current : the name of the current one
    describe_versions : what their manifests hold, in plain types
    """
    store = _existing(store)
    return Versions(sorted(_versions_in(store), key=lambda version: version.name, reverse=True))


def current(store: str | Path) -> str | None:
    """Return the name of the current version, None where there is none.

    Raises
    ------
    CorruptVersionError
        If CURRENT holds no name of a version.
    StoreError
        If there is no store, or it cannot be read.
    """
    store = _existing(store)
    text = read_text(store / CURRENT)
    if text is None:
        return None
    name = text.strip()
    if not is_version_name(name):
        raise CorruptVersionError(
            f"{store / CURRENT}: expected the name of a version, got {_short(name)}; "
            f"activate one: {_known(store)}"
        )
    return name


def current_or_none(store: str | Path) -> str | None:
    """Return the name of the current version, None also where it cannot be read.

    A damaged CURRENT must not stop the publish or the activation that replaces it.
    """
    try:
        return current(store)
    except StoreError:
        return None


def current_signature(store: str | Path) -> list[int] | str | None:
    """Return what changes when another version becomes current; None where that is not known."""
    store = store_folder(store)
    try:
        remote = remote_of(store)
        return identity_of(store / CURRENT) if remote is None else remote.signature() or None
    except (OSError, StoreError):
        return None


def find_version(store: str | Path, name: str | None = None) -> Version:
    """Return a version by name, by default the current one, without reading any of its files.

    Raises
    ------
    VersionNotFoundError
        If there is no such version, or none is current.
    StoreError
        If there is no store, or it cannot be read.
    """
    store = _existing(store)
    if name is not None:
        require_a("version", name, str, "the name of a version")
    named = current(store) if name is None else name
    if named is None:
        raise VersionNotFoundError(
            f"store {shown_store(store)}: expected a current version, got none; activate one: "
            f"{_known(store)}; recsys activate VERSION does, with --force what a gate refused"
        )
    folder, remote = store / VERSIONS / named, remote_of(store)
    with errors_of_reading(folder):
        is_there = is_version_name(named) and (
            folder.is_dir() if remote is None else bool(remote.files(named))
        )
    if not is_there:
        missing = f"holds no version {_short(named)}"
        if name is None:
            missing = f"{CURRENT} names version {_short(named)}, which the store does not hold"
        raise VersionNotFoundError(
            f"store {shown_store(store)}: {missing}; choose one: {_known(store)}"
        )
    return Version(named, folder)


def is_version_name(name: str) -> bool:
    """Return whether a text is the name of a version: a moment that there was, and a hash."""
    found = _NAME.fullmatch(name)
    if found is None:
        return False
    try:
        moment_of(found[1])
    except ValueError:
        return False
    return True


def read_text(path: Path) -> str | None:
    """Return the text of a file of a store, None where there is no such file."""
    remote = remote_of(path.parent)
    if remote is not None:
        return remote.text(path.name)[0]
    try:
        return path.read_bytes().decode(errors="replace")
    except FileNotFoundError:
        return None
    except OSError as error:
        raise fault_of(path, error) from error


def _existing(store: str | Path) -> Path:
    store = store_folder(store)
    with errors_of_reading(store):
        is_there = store.is_dir()
    if not is_there:
        found = "a file" if store.exists() else "nothing"
        raise StoreError(
            f"store: expected a folder at {store}, got {found}; train first, or name the store: "
            "recsys.open(folder), --store or RECSYS_STORE"
        )
    return store


def _versions_in(store: Path) -> Iterator[Version]:
    remote = remote_of(store)
    if remote is not None:
        names = filter(is_version_name, remote.names())
        yield from (Version(name, store / VERSIONS / name) for name in names)
        return
    try:
        for folder in (store / VERSIONS).iterdir():
            if is_version_name(folder.name) and folder.is_dir():
                yield Version(folder.name, folder)
    except FileNotFoundError:
        return
    except NotADirectoryError as error:
        raise StoreError(
            f"{store / VERSIONS}: expected a folder of versions, got a file; move it away"
        ) from error
    except OSError as error:
        raise fault_of(store / VERSIONS, error) from error


def _known(store: Path) -> str:
    """Return the names of the newest versions, for an error message."""
    names = sorted((version.name for version in _versions_in(store)), reverse=True)
    return ", ".join(names[:3]) + (", ..." if len(names) > 3 else "") or "(none yet: train first)"


def _short(text: str) -> str:
    return repr(text if len(text) <= 40 else text[:40] + "...")
