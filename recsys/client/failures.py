"""Errors of ours from what the service, or the network on the way to it, says."""

import json
from typing import Any, NoReturn

from recsys.base.errors import (
    DataError,
    EventsError,
    EventsFullError,
    RecsysError,
    ServiceError,
    UnknownItemError,
    UnknownUserError,
)
from recsys.client.attempts import Answer, retry_after

_BY_CODE: dict[str, type[RecsysError]] = {
    "unknown_user": UnknownUserError,
    "unknown_item": UnknownItemError,
    "invalid": DataError,
    "malformed": DataError,
    "other_event": DataError,
    "events_lost": EventsError,
    "events_full": EventsFullError,
    "too_large_a_body": DataError,
    "too_long_a_target": DataError,
}
_MOST_CHARACTERS = 200  # of an answer that is none of the service


def raise_problem(where: str, answer: Answer) -> NoReturn:
    """Raise the error that an answer stands for; its note names the request."""
    problem = _problem(answer)
    request_id = answer.headers.get("x-request-id", "")
    if problem is None:
        raise ServiceError(
            f"{where}: expected an answer of the service, got status {answer.status} and "
            f"{_start_of(answer)!r}; check the URL, and what is between",
            status=answer.status,
            request_id=request_id,
            retry_after=retry_after(answer.headers),
        )
    code, detail = str(problem["code"]), str(problem.get("detail", ""))
    kind = _BY_CODE.get(code)
    if kind is not None:
        error: RecsysError = kind(detail)
    else:
        error = ServiceError(
            f"{where}: expected an answer, got status {answer.status}, {code}: {detail}",
            status=answer.status,
            code=code,
            request_id=request_id,
            retry_after=retry_after(answer.headers),
        )
    if request_id:
        error.add_note(f"request {request_id} to {where}")
    raise error


def unreadable(where: str, answer: Answer, error: Exception) -> ServiceError:
    """Return the error for a good status with a body that is none of the service."""
    return ServiceError(
        f"{where}: expected an answer of the service, got {_start_of(answer)!r} "
        f"({type(error).__name__}: {str(error)[:100]}); check the URL, and what is between",
        status=answer.status,
        request_id=answer.headers.get("x-request-id", ""),
    )


def unreached(where: str, seconds: float, error: Exception) -> ServiceError:
    """Return the error for a request without an answer."""
    import httpx

    if isinstance(error, httpx.TimeoutException):
        got = f"none within {seconds:g} seconds"
        return ServiceError(
            f"{where}: expected an answer, got {got}; raise timeout", code="timeout"
        )
    reason = str(error) or type(error).__name__
    return ServiceError(
        f"{where}: expected a service that listens, got {reason}; start it with recsys serve, or "
        "check the URL",
        code="unreachable",
    )


def _problem(answer: Answer) -> dict[str, Any] | None:
    try:
        found = json.loads(answer.body)
    except (ValueError, RecursionError):
        return None
    return found if isinstance(found, dict) and "code" in found else None


def _start_of(answer: Answer) -> str:
    return answer.body[:_MOST_CHARACTERS].decode(errors="replace")
