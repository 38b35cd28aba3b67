"""What goes wrong, as problem documents (RFC 9457) with a code for programs."""

import json
from functools import lru_cache
from typing import Any

from recsys.base.errors import (
    DataError,
    EventsError,
    EventsFullError,
    RecsysError,
    StoreError,
    UnknownItemError,
    UnknownUserError,
)

MEDIA = b"application/problem+json"

PROBLEMS: dict[str, tuple[int, str]] = {
    "malformed": (400, "The request cannot be read"),
    "no_key": (401, "A valid key is needed"),
    "no_scope": (403, "The key does not allow this"),
    "unknown_user": (404, "The version does not hold this user"),
    "unknown_item": (404, "The version does not hold this item"),
    "no_route": (404, "There is nothing here"),
    "no_events": (404, "The service takes no events"),
    "no_method": (405, "The path does not take this method"),
    "too_slow_a_body": (408, "The body did not arrive in time"),
    "other_event": (409, "The id belongs to another event"),
    "too_large_a_body": (413, "The body is too large"),
    "too_long_a_target": (414, "Path and query are too long"),
    "no_media_type": (415, "The body is not of this type"),
    "other_host": (421, "The service is not asked by this name"),
    "invalid": (422, "An argument cannot be used"),
    "too_many": (429, "Too many requests"),
    "too_large_a_header": (431, "The header is too large"),
    "failed": (500, "The service failed"),
    "overloaded": (503, "The service is busy"),
    "too_slow": (503, "The answer took too long"),
    "not_ready": (503, "The service has no version open"),
    "no_version": (503, "The version cannot be read"),
    "events_lost": (503, "The database of events is not reached"),
    "events_full": (507, "There is no place for events"),
}
"""The status and the title of each code."""

_RETRY_SECONDS = {"overloaded": 1, "too_slow": 5, "not_ready": 1, "no_version": 5, "events_lost": 5}


class ProblemError(Exception):
    """An answer that is an error.

    Parameters
    ----------
    code : str
        A key of `PROBLEMS`.
    detail : str
        One sentence on this request.
    headers : tuple of pairs of bytes
        What the answer has beside the usual ones.
    """

    def __init__(
        self, code: str, detail: str, headers: tuple[tuple[bytes, bytes], ...] = ()
    ) -> None:
        super().__init__(detail)
        self.code, self.detail = code, detail
        self.status, self.title = PROBLEMS[code]
        if code in _RETRY_SECONDS:
            headers = (*headers, (b"retry-after", b"%d" % _RETRY_SECONDS[code]))
        self.headers = headers

    def to_dict(self) -> dict[str, Any]:
        """Return the members of the document, without the id of the request."""
        return {
            "type": f"urn:problem-type:recsys:{self.code}",
            "title": self.title,
            "status": self.status,
            "detail": self.detail,
            "code": self.code,
        }

    def body(self, request_id: str) -> bytes:
        """Return the document; in ASCII, as what it quotes may be half a character."""
        if self.code in _RETRY_SECONDS:  # those of a busy service, with few details: ready-made
            return b'%s, "request_id": "%s"}' % (
                _ready(self.code, self.detail),
                request_id.encode(),
            )
        return json.dumps(self.to_dict() | {"request_id": request_id}).encode()


@lru_cache(32)
def _ready(code: str, detail: str) -> bytes:
    """Return a document without its end."""
    return json.dumps(ProblemError(code, detail).to_dict())[:-1].encode()


def problem_of(error: RecsysError) -> ProblemError:
    """Return an error of the library as a problem.

    What names files of the service is kept from the caller.
    """
    if isinstance(error, UnknownUserError):
        return ProblemError("unknown_user", str(error))
    if isinstance(error, UnknownItemError):
        return ProblemError("unknown_item", str(error))
    if isinstance(error, DataError):
        return ProblemError("invalid", str(error))
    if isinstance(error, EventsFullError):
        return ProblemError("events_full", "no event of this request is kept; lists go on")
    if isinstance(error, EventsError):
        return ProblemError("events_lost", "no event of this request is kept; send them again")
    if isinstance(error, StoreError):
        return ProblemError("no_version", "the files of the version cannot be read now; ask again")
    return ProblemError("failed", "see the log of the service, by the id of the request")
