"""A store at s3://, gs:// or abfs://, and its local copy: a folder in the layout of every store.

The bucket has no rename, so a version is there once its manifest is: its files are written first,
the manifest last. What is to be deleted gets a mark first, which readers look for, and loses its
manifest next. CURRENT, ACTIVATIONS and PINNED are written under a condition: over what was read.

The folder holds whole versions alone: a version is fetched aside, each file is compared with the
checksum of the manifest, and then the folder is renamed. What a night keeps lies there, too.
"""

import shutil
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from datetime import datetime, timedelta
from functools import lru_cache, partial
from pathlib import Path
from urllib.parse import quote

from recsys.base.checks import as_path
from recsys.base.durable import appear, durable_file, make_read_only, replace_text
from recsys.base.errors import (
    CorruptVersionError,
    StoreError,
    UnreadableError,
    VersionNotFoundError,
)
from recsys.base.locks import only_writer, state_of
from recsys.base.reading import NOT_REACHED
from recsys.base.stopping import check_stop
from recsys.objects import Bucket, Facts, ObjectAddress, TakenError, object_address
from recsys.store.manifest import MANIFEST, FileFacts, Manifest
from recsys.store.object_leases import LEASE_SECONDS, LEASES, ObjectLease

CURRENT = "CURRENT"
VERSIONS = "versions"
DELETED = "DELETED"
"""An object of a version that is being deleted; no reader opens one that has it."""

_ADDRESS = "ADDRESS"  # file of a local copy: of what
_FETCH_LOCK = ".fetch.lock"
_FETCHING = ".fetching"
_CLOCK = f"{LEASES}/.clock"
_KEPT_COPIES = 2  # of versions beside the one that was fetched last, and those that are open
_UPLOAD_DAYS = 1.0  # after which files without a manifest are of a publisher that was killed
_SIGNATURE_SECONDS = 1.0  # for which CURRENT is not looked at again

unreached = partial(UnreadableError, number=NOT_REACHED)


def store_folder(store: str | Path) -> Path:
    """Return the folder of a store: of one at an address its local copy, made if missing."""
    address = object_address(store)
    if address is None:
        return as_path("store", store)
    folder = address.cached_in("stores") / (quote(address.key, safe="") or "-")
    if not (folder / _ADDRESS).is_file():
        try:
            (folder / VERSIONS).mkdir(parents=True, exist_ok=True)
            replace_text(folder / _ADDRESS, str(address))
        except OSError as error:
            raise StoreError(
                f"store {address}: expected to keep a local copy at {folder}, got "
                f"{error.strerror!r}; set RECSYS_CACHE to a folder that you may write to"
            ) from error
        remote_of.cache_clear()
    return folder


@lru_cache(64)
def remote_of(folder: Path) -> "RemoteStore | None":
    """Return the store of which a folder is the local copy; None for a store of its own."""
    try:
        text = (folder / _ADDRESS).read_text(encoding="utf-8")
    except OSError:
        return None
    address = object_address(text.strip())
    return None if address is None else RemoteStore(address, folder)


def shown_store(store: str | Path) -> str:
    """Return how a store is shown: one that has a local copy by its address."""
    address = object_address(store)
    if address is not None:
        return str(address)
    remote = remote_of(Path(store))
    return str(store) if remote is None else str(remote.address)


class RemoteStore:
    """The objects of a store, and the folder that holds copies of its versions."""

    def __init__(self, address: ObjectAddress, folder: Path) -> None:
        self.address, self.folder = address, folder
        self.bucket = Bucket(address, unreached)
        self._signature: tuple[float, str] = (0.0, "")

    def text(self, name: str) -> tuple[str | None, str | None]:
        """Return the text of CURRENT, ACTIVATIONS or PINNED, and its ETag; None without one."""
        found = self.bucket.read(name)
        if found is None:
            return None, None
        text = found[0].decode(errors="replace")
        if name == CURRENT:
            self._remember(text.strip())
        return text, found[1]

    def _remember(self, name: str) -> None:
        """Keep what is current for a time in which the bucket is not reached."""
        path = self.folder / CURRENT
        with suppress(OSError):
            if not path.exists() or path.read_text(encoding="utf-8").strip() != name:
                replace_text(path, name)

    def replace(self, name: str, text: str, etag: str | None) -> str:
        """Replace such an object, if it is still the one that was read; else a `TakenError`.

        Returns the new ETag.
        """
        self._signature = (0.0, "")
        return self.bucket.write(name, f"{text}\n".encode(), over=etag)

    def signature(self) -> str:
        """Return what changes when another version becomes current, as known for a second."""
        looked, etag = self._signature
        if time.monotonic() - looked > _SIGNATURE_SECONDS:
            facts = self.bucket.facts(CURRENT)
            etag = "" if facts is None else facts.etag
            self._signature = (time.monotonic(), etag)
        return etag

    def names(self) -> list[str]:
        """Return the names of the versions, whole ones, in order."""
        found = self._versions()
        return [name for name, files in found.items() if MANIFEST in files and DELETED not in files]

    def files(self, name: str) -> dict[str, Facts]:
        """Return the objects of a version by name; none where it is not there, or is deleted."""
        found = self._versions(name).get(name, {})
        return found if MANIFEST in found and DELETED not in found else {}

    def _versions(self, name: str = "") -> dict[str, dict[str, Facts]]:
        found: dict[str, dict[str, Facts]] = {}
        for key, facts in self.bucket.listing(f"{VERSIONS}/{name}").items():
            _, version, inside = key.split("/", 2) if key.count("/") > 1 else (key, "", "")
            if version:
                found.setdefault(version, {})[inside] = facts
        return found

    def manifest(self, name: str) -> Manifest:
        """Return the manifest of a version, of its copy or of its object."""
        at = self.address.below(f"{VERSIONS}/{name}/{MANIFEST}")
        found = self.bucket.read(f"{VERSIONS}/{name}/{MANIFEST}")
        if found is None:
            raise VersionNotFoundError(f"{at}: expected a version, got one that has been pruned")
        return self._manifest_of(name, found[0])

    def _manifest_of(self, name: str, content: bytes) -> Manifest:
        at = self.address.below(f"{VERSIONS}/{name}/{MANIFEST}")
        manifest = Manifest.from_json(content.decode(errors="replace"), str(at))
        if manifest.version != name:
            raise CorruptVersionError(
                f"{at}: expected the manifest of version {name}, got that of {manifest.version}"
            )
        return manifest

    def check_sizes(self, name: str) -> None:
        """Raise a CorruptVersionError for the first object that has not the size that it should."""
        files = self.files(name)
        for file, facts in self.manifest(name).files.items():
            found = files.get(file)
            if found is None or found.bytes != facts.bytes:
                size = "no object" if found is None else f"{found.bytes}"
                raise self._differs(name, file, f"{facts.bytes} bytes", size)

    def _differs(self, name: str, file: str, expected: str, found: str) -> CorruptVersionError:
        at = self.address.below(f"{VERSIONS}/{name}/{file}")
        return CorruptVersionError(
            f"{at}: expected {expected}, got {found}; train again, or activate another version"
        )

    # Reading: a version is leased in the bucket, then fetched whole.

    def require(self, name: str) -> None:
        """Raise a VersionNotFoundError where there is no such version, or none any more."""
        if not self.files(name):
            raise VersionNotFoundError(
                f"{self.address.below(f'{VERSIONS}/{name}')}: expected a version, got one that has "
                "been pruned; open another"
            )

    def lease(self, name: str) -> ObjectLease:
        """Keep a version from being pruned by anybody, while the lease lives."""
        return ObjectLease(self.bucket, name)

    def fetch(self, name: str) -> None:
        """Make the local copy of a version, if it is not there."""
        target = self.folder / VERSIONS / name
        if target.is_dir():
            return
        with only_writer(self.folder / _FETCH_LOCK):
            if target.is_dir():
                return
            aside = self.folder / _FETCHING
            shutil.rmtree(aside, ignore_errors=True)
            aside.mkdir(parents=True)
            try:
                self._download(name, aside)
                target.parent.mkdir(exist_ok=True)
                appear(aside, target)
            finally:
                shutil.rmtree(aside, ignore_errors=True)
            self._drop_copies(name)

    def _download(self, name: str, aside: Path) -> None:
        manifest = None
        try:
            self.require(name)
            content, _ = self.bucket.read(f"{VERSIONS}/{name}/{MANIFEST}") or (b"", "")
            manifest = self._manifest_of(name, content)
            for file, facts in manifest.files.items():
                path = aside / file
                path.parent.mkdir(parents=True, exist_ok=True)
                self._download_file(name, file, facts, path)
        except TakenError as error:
            if manifest is not None and self.files(name):
                raise self._differs(name, str(error), "to be there", "no object") from error
            self.require(name)
            raise
        with durable_file(aside / MANIFEST) as out:
            out.write(content)
        make_read_only(aside / MANIFEST)

    def _download_file(self, name: str, file: str, facts: FileFacts, path: Path) -> None:
        sha256 = self.bucket.download(f"{VERSIONS}/{name}/{file}", path)
        if sha256 != facts.sha256:
            raise self._differs(name, file, f"sha256 {facts.sha256}", sha256)
        make_read_only(path)

    def _drop_copies(self, kept: str) -> None:
        """Delete copies of versions that are not open, but for the newest ones."""
        copies = [path for path in (self.folder / VERSIONS).iterdir() if path.name != kept]
        copies = [path for path in copies if path.is_dir() and not path.name.startswith(".")]
        copies.sort(key=lambda path: path.name, reverse=True)
        for path in copies[_KEPT_COPIES:]:
            self.drop_copy(path.name)

    def drop_copy(self, name: str) -> None:
        """Delete the local copy of a version, unless a process of this machine has it open."""
        path = self.folder / VERSIONS / name
        with suppress(OSError), state_of(path / MANIFEST) as held:
            if held != "held":
                self.take_away(name)

    def take_away(self, name: str) -> bool:
        """Delete a copy whoever has it open; return whether there was one."""
        path = self.folder / VERSIONS / name
        trash = path.with_name(f".trash-{name}")
        shutil.rmtree(trash, ignore_errors=True)
        try:
            path.rename(trash)
        except OSError:
            return False
        shutil.rmtree(trash, ignore_errors=True)
        return True

    @property
    def last_known(self) -> str | None:
        """What was current when the bucket was reached last, if there is a copy of it."""
        with suppress(OSError):
            name = (self.folder / CURRENT).read_text(encoding="utf-8").strip()
            return name if (self.folder / VERSIONS / name / MANIFEST).is_file() else None
        return None

    # Writing: files, then the manifest.

    def upload(self, folder: Path, manifest: Manifest) -> None:
        """Write the files of a version; it is no version yet."""
        for file in manifest.files:
            check_stop()
            self.bucket.upload(f"{VERSIONS}/{manifest.version}/{file}", folder / file)
        found = self._versions(manifest.version).get(manifest.version, {})
        for file, facts in manifest.files.items():
            size = found[file].bytes if file in found else None
            if size != facts.bytes:
                raise unreached(
                    f"{self.address}: expected {facts.bytes} bytes of {file} after it was written, "
                    f"got {size}; publish again"
                )

    def complete(self, manifest: Manifest, content: bytes) -> None:
        """Write the manifest of a version, which makes it one."""
        try:
            self.bucket.write(f"{VERSIONS}/{manifest.version}/{MANIFEST}", content)
        except TakenError as error:
            raise StoreError(
                f"store {self.address}: expected to be the only publisher of version "
                f"{manifest.version}, got one that was there first; publish again"
            ) from error

    # Deleting: a mark, the manifest, the files, the mark.

    def now(self) -> datetime:
        """Return the time by the clock of the service; raises where it cannot be written to."""
        self.bucket.put(_CLOCK, b"")
        facts = self.bucket.facts(_CLOCK)
        if facts is None:
            raise unreached(f"{self.address}: expected an object just written, got none")
        return facts.modified

    def require_writable(self) -> None:
        """Check that objects can be written, and that conditions of writes hold."""
        self.now()
        with suppress(TakenError):
            self.bucket.write(_CLOCK, b"a condition")
            raise StoreError(
                f"store {self.address}: expected a service that refuses to create an object that "
                "is there (If-None-Match), got one that replaces it: two publishers could mix "
                "their versions; use another service"
            )

    def is_leased(self, name: str, now: datetime) -> bool:
        """Whether a process has a version open, or did not end well within the last minutes."""
        leases = self.bucket.listing(f"{LEASES}/{name}").values()
        end = now - timedelta(seconds=LEASE_SECONDS)
        return any(facts.modified >= end for facts in leases)

    def delete(self, name: str, is_needed: Callable[[str], bool], now: datetime) -> bool:
        """Delete a version, unless it is leased or needed by the time that it has its mark.

        Who opens, activates or pins a version takes a lease first and looks for the mark then; here
        it is the other way round, so one of both sees the other.
        """
        mark = f"{VERSIONS}/{name}/{DELETED}"
        self.bucket.put(mark, b"")
        if self.is_leased(name, now) or is_needed(name):
            self.bucket.delete([mark])
            return False
        self.remove(name)
        return True

    def remove(self, name: str) -> None:
        """Delete whatever there is of a version, also of one that was not completed."""
        files = self._versions(name).get(name, {})
        for some in ([MANIFEST], files.keys() - {MANIFEST, DELETED}, [DELETED]):
            self.bucket.delete(f"{VERSIONS}/{name}/{file}" for file in some)
        self.bucket.delete(self.bucket.listing(f"{LEASES}/{name}"))
        self.drop_copy(name)

    def remove_leftovers(self) -> None:
        """Delete what publishers and pruners that were killed have left."""
        unfinished = {
            name: files
            for name, files in self._versions().items()
            if MANIFEST not in files or DELETED in files
        }
        now = self.now() if unfinished else datetime.min
        for name, files in unfinished.items():
            newest = max(facts.modified for facts in files.values())
            is_old = DELETED in files or now - newest > timedelta(days=_UPLOAD_DAYS)
            if is_old and not self.is_leased(name, now):
                self.remove(name)


def opened_copy(folder: Path) -> ObjectLease | None:
    """Fetch the version that is to be opened in a folder, under a lease; None where it has none.

    Where nothing may be written to the bucket, there is no lease: a copy is whole without one.
    """
    remote = remote_of(folder.parents[1])
    if remote is None:
        return None
    lease = None
    with suppress(UnreadableError):
        lease = remote.lease(folder.name)
    try:
        if not folder.is_dir() or lease is not None:
            remote.require(folder.name)
            remote.fetch(folder.name)
    except BaseException:
        if lease is not None:
            lease.close()
        raise
    return lease


@contextmanager
def leased(folder: Path, name: str) -> Iterator[None]:
    """Keep a version of a store at an address from prunes while the block runs."""
    remote = remote_of(folder)
    if remote is None:  # which has locks
        yield
        return
    lease = remote.lease(name)
    try:
        remote.require(name)
        yield
    finally:
        lease.close()
