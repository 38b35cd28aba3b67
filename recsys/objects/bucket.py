"""A bucket, or a part of it: read, write under a condition, list and delete objects.

One layer for S3, Google Cloud Storage and Azure: obstore, whose put takes a condition on all three.
What a cut connection has left open is asked again, a number of times, by obstore and by us.
"""

import time
from collections.abc import Callable, Iterable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from datetime import datetime, timedelta
from functools import cached_property
from pathlib import Path
from typing import Any, TypeVar

from recsys.base.environment import extra, missing_package
from recsys.base.errors import RecsysError
from recsys.base.stopping import check_stop
from recsys.objects.address import ObjectAddress

_Got = TypeVar("_Got")

_TRIES = 3
_PAUSE = 0.2  # seconds before the second try, doubled before each further one
_RETRIES: Any = {
    "max_retries": 2,
    "retry_timeout": timedelta(seconds=10),
    "backoff": {
        "init_backoff": timedelta(milliseconds=100),
        "max_backoff": timedelta(seconds=2),
        "base": 2,
    },
}
_TIMEOUTS = {"connect_timeout": "5s", "timeout": "60s"}
_NO_CREDENTIALS = "no credentials are set; set {credentials}"
_CREDENTIALS = {
    "s3": "AWS_ACCESS_KEY_ID and AWS_SECRET_ACCESS_KEY",
    "gs": "GOOGLE_APPLICATION_CREDENTIALS",
    "abfs": "AZURE_STORAGE_ACCOUNT_KEY",
}
_SIGNS = (  # in what obstore says, which tells kinds of errors apart less than these
    ("NoSuchBucket", "there is no such bucket; make it, or correct the address"),
    ("container does not exist", "there is no such container; make it, or correct the address"),
    ("ContainerNotFound", "there is no such container; make it, or correct the address"),
    ("InvalidAccessKeyId", "the access key is not known there; set AWS_ACCESS_KEY_ID"),
    ("SignatureDoesNotMatch", "the secret key is wrong; set AWS_SECRET_ACCESS_KEY"),
    ("ExpiredToken", "the session token has expired; get a new one"),
    ("AuthenticationFailed", "the account's key is wrong; set AZURE_STORAGE_ACCOUNT_KEY"),
    ("AccessDenied", "these credentials have no right to do so; grant it, or use others"),
    ("403 Forbidden", "these credentials have no right to do so; grant it, or use others"),
    ("401 Unauthorized", "the credentials are not accepted; set others"),
    ("169.254.169.254", _NO_CREDENTIALS),
    ("metadata.google.internal", _NO_CREDENTIALS),
    ("NoSuchUpload", "an upload was taken away meanwhile; try again"),
)


class TakenError(Exception):
    """An object is not as the condition of a write says: another process was first."""


@dataclass(frozen=True)
class Facts:
    """What a listing says of an object."""

    bytes: int
    etag: str  # in quotes, as a condition takes it; a listing of Azure has none
    modified: datetime  # by the clock of the service


class Bucket:
    """Objects below an address.

    Parameters
    ----------
    address : ObjectAddress
        Without a wildcard.
    error : callable
        Makes an error of one sentence, raised where the service is not reached or refuses.
    """

    def __init__(self, address: ObjectAddress, error: Callable[[str], RecsysError]) -> None:
        self.address, self._error = address, error
        self._endpoint = address.endpoint

    @cached_property
    def _package(self) -> Any:
        try:
            import obstore.store
        except ImportError as error:
            raise missing_package(str(self.address), "obstore", extra("objects")) from error
        return obstore

    @cached_property
    def _store(self) -> Any:
        from_url = self._package.store.from_url
        endpoint = self._endpoint
        options: Any = dict(_TIMEOUTS)
        given: Any = {}
        if endpoint is not None:
            options["allow_http"] = endpoint.startswith("http://")
            given = {"endpoint": endpoint} if self.address.kind != "gs" else {}
        try:
            store = from_url(
                self.address.root, client_options=options, retry_config=_RETRIES, **given
            )
        except Exception as error:
            raise self._failed("", "to be opened", error) from error
        return store

    def read(self, key: str) -> tuple[bytes, str] | None:
        """Return the bytes of a small object and its tag; None where there is none."""
        obstore = self._package

        def got() -> tuple[bytes, str] | None:
            with suppress(FileNotFoundError):
                found = obstore.get(self._store, self._at(key))
                return bytes(found.bytes()), self._tag_of(found.meta)
            return None

        return self._asked(key, "to read it", got)

    def facts(self, key: str) -> Facts | None:
        """Return size, ETag and time of an object; None where there is none."""
        obstore = self._package

        def got() -> Facts | None:
            with suppress(FileNotFoundError):
                return _facts_of(obstore.head(self._store, self._at(key)))
            return None

        return self._asked(key, "to find it", got)

    def write(self, key: str, content: bytes, *, over: str | None = None) -> str:
        """Write an object that is not there, or over the one of a tag; return the new tag.

        Raises
        ------
        TakenError
            If it is there, or has another tag. Where a lost answer may have said that this very
            write was done, what is there is compared first.
        """
        obstore = self._package

        name = "version" if self._has_generations else "e_tag"
        mode: Any = "create" if over is None else {name: over}
        kinds = (
            obstore.exceptions.AlreadyExistsError,
            obstore.exceptions.PreconditionError,
            FileNotFoundError,
        )

        def put() -> str:
            try:
                done = obstore.put(
                    self._store, self._at(key), content, mode=mode, use_multipart=False
                )
            except kinds as error:
                if _has(error, "NoSuchBucket"):
                    raise
                raise TakenError(key) from error
            return self._tag_of(done)

        try:
            return self._asked(key, "to write it", put)
        except TakenError:
            found = self.read(key)
            if found is not None and found[0] == content and over != found[1]:
                return found[1]
            raise

    def put(self, key: str, content: bytes) -> None:
        """Write an object, whatever was there."""
        obstore = self._package

        self._asked(
            key,
            "to write it",
            lambda: obstore.put(self._store, self._at(key), content, use_multipart=False),
        )

    def upload(self, key: str, path: Path) -> None:
        """Write a file, in parts where it is long: it is there whole, or not at all."""
        obstore = self._package

        self._asked(
            key,
            "to write it",
            lambda: obstore.put(self._store, self._at(key), path, max_concurrency=4),
        )

    def part(self, key: str, start: int, end: int, etag: str) -> bytes:
        """Return some bytes of an object.

        An object that is replaced meanwhile, or that there is not, is a `TakenError`.
        """
        if start == end:
            return b""
        obstore = self._package

        def got() -> bytes:
            try:
                found = obstore.get(
                    self._store,
                    self._at(key),
                    options={"range": (start, end), "if_match": etag},
                )
                part = bytes(found.bytes())
            except (FileNotFoundError, obstore.exceptions.PreconditionError) as error:
                if _has(error, "NoSuchBucket"):
                    raise
                raise TakenError(key) from error
            if len(part) != end - start:
                raise obstore.exceptions.GenericError(f"{len(part)} bytes of {end - start}")
            return part

        return self._asked(key, "to read it", got)

    def listing(self, below: str = "") -> dict[str, Facts]:
        """Return the objects below a key, by their keys below the address, in order."""
        obstore = self._package

        def got() -> dict[str, Facts]:
            batches = obstore.list(self._store, self._at(below) or None)
            return dict(sorted(self._listed(batches)))

        return self._asked(below, "to list what is there", got)

    def _listed(self, batches: Iterable[Iterable[Any]]) -> Iterator[tuple[str, Facts]]:
        start = f"{self.address.key}/" if self.address.key else ""
        for batch in batches:
            check_stop()
            for one in batch:
                yield one["path"].removeprefix(start), _facts_of(one)

    def delete(self, keys: Iterable[str]) -> None:
        """Delete objects, in no order; what is not there counts as deleted."""
        obstore = self._package

        paths = [self._at(key) for key in keys]

        def were_there(some: list[str]) -> bool:
            with suppress(FileNotFoundError):
                obstore.delete(self._store, some)
                return True
            return False

        def asked(some: list[str]) -> bool:
            return self._asked("", "to delete objects", lambda: were_there(some))

        if paths and not asked(paths):  # a service that does not pass over what is not there
            for path in paths:
                asked([path])

    @property
    def _has_generations(self) -> bool:
        """Whether a write is conditional on the generation of an object, not on its ETag."""
        return self.address.kind == "gs"

    def _tag_of(self, meta: Any) -> str:
        """Return what a write over an object is conditional on."""
        return str(meta["version"] if self._has_generations else meta["e_tag"])

    def _at(self, key: str) -> str:
        return f"{self.address.key}/{key}".strip("/")

    def _asked(self, key: str, what: str, ask: Callable[[], _Got]) -> _Got:
        """Ask the service, again where an answer was cut off; raise our error where it refuses."""
        _ = self._store  # its own error, once
        refused = self._package.exceptions.BaseError
        for attempt in range(_TRIES):
            if attempt:
                time.sleep(_PAUSE * 2 ** (attempt - 1))
            try:
                return ask()
            except (refused, OSError, ValueError) as error:
                if attempt + 1 == _TRIES or any(_has(error, sign) for sign, _ in _SIGNS):
                    raise self._failed(key, what, error) from error
        raise AssertionError("unreachable")

    def _failed(self, key: str, what: str, error: BaseException) -> RecsysError:
        """Return the error in one sentence: obstore's has many lines, and may have a request."""
        advice = next((words for sign, words in _SIGNS if _has(error, sign)), None)
        if advice is None:
            advice = f"the service is not reached, or fails ({_reason_of(error)}); try again"
        advice = advice.replace("{credentials}", _CREDENTIALS[self.address.kind])
        at = f" at {self._endpoint}" if self._endpoint else ""
        return self._error(f"{self.address.below(key)}{at}: expected {what}, but {advice}")


def _facts_of(meta: Any) -> Facts:
    etag = str(meta["e_tag"])
    quoted = etag if etag.endswith('"') else f'"{etag}"'
    return Facts(meta["size"], quoted, meta["last_modified"])


def _has(error: BaseException, sign: str) -> bool:
    return sign in str(error)


_REASONS = (
    ("Connection refused", "connection refused"),
    ("dns error", "no such host"),
    ("timed out", "no answer in time"),
    ("status code: 5", "an error of the service"),
    ("bytes of", "half an answer"),
    ("Error performing", "no answer"),
)


def _reason_of(error: BaseException) -> str:
    """Return a few words of what obstore says, the same each time."""
    found = (words for sign, words in _REASONS if _has(error, sign))
    return next(found, (str(error).splitlines() or [type(error).__name__])[0][:80])
