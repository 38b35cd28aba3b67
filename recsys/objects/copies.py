"""Local copies of the objects of a log: fetched where they are new or changed, dropped where gone.

The copies of a bucket lie in a folder of the cache under the names of their keys, beside a file
that says which ETag each was fetched at. One process at a time brings them up to date.
"""

import fnmatch
import json
import re
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from recsys.base.durable import replace_text
from recsys.base.errors import DataError
from recsys.base.locks import only_writer
from recsys.objects.address import ObjectAddress
from recsys.objects.bucket import Bucket, Facts
from recsys.objects.transfer import Wanted, fetched

_STATE = "etags.json"
_LOCK = ".lock"
_ASIDE = ".fetched"
_MARKS = ("_delta_log", ".hoodie")  # folders that tell a table format apart
_REPLACED = 3  # tries for an object that is replaced while it is read


@dataclass(frozen=True)
class LocalCopy:
    """Where the copy of an address lies."""

    address: ObjectAddress  # of the bucket
    folder: Path  # of the bucket
    path: Path  # of what was asked for: a file, a folder, or a pattern of such

    def shown(self, text: str | Path) -> str:
        """Return a text in which paths of copies are addresses again."""
        return str(text).replace(str(self.folder), str(self.address))


def local_copy(address: ObjectAddress, what: str = "log") -> LocalCopy:
    """Bring the local copy of an address up to date, and return where it lies.

    Parameters
    ----------
    what : str
        It is, for messages.

    Raises
    ------
    DataError
        If there is nothing at the address, or it cannot be fetched or kept.
    """
    root = ObjectAddress(address.scheme, address.bucket, "")
    folder = address.cached_in("logs")
    copy = LocalCopy(root, folder / "objects", folder / "objects" / address.key)
    with _errors_of_keeping(address, what, folder):
        copy.folder.mkdir(parents=True, exist_ok=True)
        with only_writer(folder / _LOCK):
            _fetch(address, what, Bucket(root, DataError), folder)
    return copy


def _fetch(address: ObjectAddress, what: str, bucket: Bucket, folder: Path) -> None:
    objects = folder / "objects"
    state = _read_state(folder / _STATE)
    found = _asked_for(address, bucket)
    if not found:
        raise DataError(
            f"{what} {address}: expected an object, or some below it, got none; correct the address"
        )
    kept = {key: etag for key, etag in state.items() if not _is_of(address, key)}

    def is_new(key: str, facts: Facts) -> bool:
        return state.get(key) != facts.etag or not _is_whole(objects / key, facts)

    for key in state.keys() - kept.keys() - found.keys():
        (objects / key).unlink(missing_ok=True)
    replace_text(folder / _STATE, json.dumps(kept | {k: state[k] for k in found if k in state}))
    kept |= {key: facts.etag for key, facts in found.items() if not is_new(key, facts)}
    aside = folder / _ASIDE
    aside.unlink(missing_ok=True)
    new = [Wanted(key, facts, aside) for key, facts in found.items() if key not in kept]
    try:
        for one in fetched(bucket, new):
            key, etag = one.wanted.key, one.wanted.facts.etag
            if one.sha256 is None:
                etag = _fetched_now(bucket, key, aside)
            target = objects / key
            target.parent.mkdir(parents=True, exist_ok=True)
            aside.replace(target)
            kept[key] = etag
    finally:  # what was fetched before an error is not fetched again
        if new:
            replace_text(folder / _STATE, json.dumps(kept))


def _asked_for(address: ObjectAddress, bucket: Bucket) -> dict[str, Facts]:
    """Return the objects that an address names, without those that writers leave beside data."""
    if not address.is_pattern and address.key:
        single = bucket.facts(address.key)
        if single is not None:
            return {address.key: single}
    listed = bucket.listing(address.fixed_key)
    for key in listed:
        if ".." in key.split("/"):
            raise DataError(f"log {address}: the key {key!r} leads out of its folder; rename it")
        _keep_mark(address, key)
    return {
        key: facts
        for key, facts in listed.items()
        if _is_of(address, key) and not _is_hidden(key, address.fixed_key) and not key.endswith("/")
    }


def _keep_mark(address: ObjectAddress, key: str) -> None:
    """Make the folder by which a table of another format is known, which is refused."""
    names = key.split("/")
    for mark in {*_MARKS} & {*names}:
        above = names[: names.index(mark) + 1]
        address.cached_in("logs").joinpath("objects", *above).mkdir(parents=True, exist_ok=True)


def _is_of(address: ObjectAddress, key: str) -> bool:
    """Whether an address names an object, or a folder that it is in."""
    if not address.is_pattern:
        return not address.key or key == address.key or key.startswith(f"{address.key}/")
    return re.fullmatch(_regex_of(address.key), key) is not None


def _regex_of(pattern: str) -> str:
    """Return what a glob matches: ``*`` stays within a name, ``**`` goes through folders."""
    parts = []
    for name in pattern.split("/"):
        one = fnmatch.translate(name).removeprefix("(?s:").removesuffix(r")\Z")
        parts.append("(?:[^/]+/)*" if name == "**" else one.replace(".*", "[^/]*") + "/")
    return "".join(parts).removesuffix("/")


def _is_hidden(key: str, below: str) -> bool:
    names = key.removeprefix(below).split("/")
    return any(name.startswith((".", "_")) and "=" not in name for name in names)


def _is_whole(path: Path, facts: Facts) -> bool:
    with suppress(OSError):
        return path.is_file() and path.stat().st_size == facts.bytes
    return False


def _fetched_now(bucket: Bucket, key: str, aside: Path) -> str:
    """Fetch an object that was replaced after it was listed; return its ETag."""
    for _ in range(_REPLACED):
        facts = bucket.facts(key)
        if facts is not None:
            (one,) = fetched(bucket, [Wanted(key, facts, aside)])
            if one.sha256 is not None:
                return facts.etag
        time.sleep(0.1)
    raise DataError(
        f"log {bucket.address.below(key)}: it is replaced or deleted again and again while it is "
        "read; read it when its writer has ended"
    )


def _read_state(path: Path) -> dict[str, str]:
    try:
        found = json.loads(path.read_bytes())
    except (OSError, ValueError):
        return {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


@contextmanager
def _errors_of_keeping(address: ObjectAddress, what: str, folder: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise DataError(
            f"{what} {address}: cannot be kept at {error.filename or folder}: "
            f"{error.strerror or error}; free space there, or name "
            "another folder: data.cache, or recsys --cache"
        ) from error
