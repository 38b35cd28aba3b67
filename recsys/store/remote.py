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
from recsys.base.locks import only_writer
from recsys.base.reading import NOT_REACHED
from recsys.objects import (
    Bucket,
    Facts,
    ObjectAddress,
    TakenError,
    Wanted,
    fetched,
    object_address,
    upload,
)
from recsys.store.manifest import MANIFEST, Manifest
from recsys.store.object_leases import LEASE_SECONDS, LEASES, ObjectLease
from recsys.store.version_copies import CURRENT, VERSIONS, VersionCopies

DELETED = "DELETED"
"""An object of a version that is being deleted; no reader opens one that has it."""

_ADDRESS = "ADDRESS"  # file of a local copy: of what
_FETCH_LOCK = ".fetch.lock"
_FETCHING = ".fetching"
_CLOCK = f"{LEASES}/.clock"
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
                f"{error.strerror!r}; name a folder that you may write to (data.cache, or recsys "
                "--cache)"
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
        self.copies = VersionCopies(folder)
        self._signature: tuple[float, str] = (0.0, "")

    def text(self, name: str) -> tuple[str | None, str | None]:
        """Return the text of CURRENT, ACTIVATIONS or PINNED, and its ETag; None without one."""
        found = self.bucket.read(name)
        if found is None:
            return None, None
        text = found[0].decode(errors="replace")
        if name == CURRENT:
            self.copies.remember(text.strip())
        return text, found[1]

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
        for file, expected, size in _of_other_sizes(self.manifest(name), self.files(name)):
            raise self._differs(name, file, f"{expected} bytes", size)

    def _differs(self, name: str, file: str, expected: str, found: str) -> CorruptVersionError:
        at = self.address.below(f"{VERSIONS}/{name}/{file}")
        return CorruptVersionError(
            f"{at}: expected {expected}, got {found}; train again, or activate another version"
        )

    # Reading: a version is leased in the bucket, then fetched whole.

    def require(self, name: str) -> dict[str, Facts]:
        """Return the objects of a version; a VersionNotFoundError where there are none any more."""
        found = self.files(name)
        if not found:
            raise VersionNotFoundError(
                f"{self.address.below(f'{VERSIONS}/{name}')}: expected a version, got one that has "
                "been pruned; open another"
            )
        return found

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
            self.copies.drop_others(name)

    def _download(self, name: str, aside: Path) -> None:
        found = self.require(name)
        content, _ = self.bucket.read(f"{VERSIONS}/{name}/{MANIFEST}") or (b"", "")
        manifest = self._manifest_of(name, content)
        wanted = []
        for file in manifest.files:
            if file not in found:
                raise self._differs(name, file, "to be there", "no object")
            (aside / file).parent.mkdir(parents=True, exist_ok=True)
            wanted.append(Wanted(f"{VERSIONS}/{name}/{file}", found[file], aside / file))
        for one in fetched(self.bucket, wanted):
            file = one.wanted.path.relative_to(aside).as_posix()
            if one.sha256 is None:
                self.require(name)
                raise self._differs(name, file, "to stay as it is", "another object")
            expected = manifest.files[file].sha256
            if one.sha256 != expected:
                raise self._differs(name, file, f"sha256 {expected}", one.sha256)
            make_read_only(one.wanted.path)
        with durable_file(aside / MANIFEST) as out:
            out.write(content)
        make_read_only(aside / MANIFEST)

    # Writing: files, then the manifest.

    def upload(self, folder: Path, manifest: Manifest) -> None:
        """Write the files of a version; it is no version yet."""
        below = f"{VERSIONS}/{manifest.version}"
        upload(self.bucket, ((f"{below}/{file}", folder / file) for file in manifest.files))
        found = self._versions(manifest.version).get(manifest.version, {})
        for file, expected, size in _of_other_sizes(manifest, found):
            raise unreached(
                f"{self.address}: expected {expected} bytes of {file} after it was written, "
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
        self.copies.drop(name)

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


def _of_other_sizes(manifest: Manifest, found: dict[str, Facts]) -> Iterator[tuple[str, int, str]]:
    """Yield the files that are not as long as they should be, with how long they should be."""
    for file, facts in manifest.files.items():
        size = found[file].bytes if file in found else None
        if size != facts.bytes:
            yield file, facts.bytes, "no object" if size is None else str(size)


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
