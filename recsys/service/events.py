"""The routes of events: what a request says of them, and the answer."""

import time
from datetime import UTC, datetime
from math import inf, isfinite

from recsys.base.errors import DataError, briefly
from recsys.events import Event
from recsys.service.handlers import Asked, Reply, encoded
from recsys.service.live import Fresh, Live
from recsys.service.parameters import Arguments, Parameter, in_body
from recsys.service.problems import ProblemError
from recsys.store.item_json import json_text
from recsys.vectors import Id
from recsys.vectors.ids import canonical

_SECONDS_PER_DAY = 86_400
_MICROSECONDS = 1_000_000
_MOST_CHARACTERS = 256  # of a type, and of the id of an event
_WHITESPACE = " \t\n\r\v\f"

OF_AN_EVENT = (
    Parameter("user_id", "id", "Who did something."),
    Parameter("item_id", "id", "With which item; the version may not know it."),
    Parameter("event", "text", "Its type, where the log has types.", most_characters=256),
    Parameter("value", "value", "Where the log has values, such as a rating."),
    Parameter("timestamp", "time", "Seconds since 1970, or ISO 8601. Default: now."),
    Parameter(
        "event_id", "text", "Sent again with the same id, it is kept once.", most_characters=256
    ),
)
EVENTS = (*OF_AN_EVENT, Parameter("events", "events", "Many at once, each as one alone."))
_BY_NAME = {parameter.name: parameter for parameter in OF_AN_EVENT}


async def add(asked: Asked) -> Reply:
    """Answer when the events of the body are durable."""
    events, live = _events_of(asked), _live_of(asked)
    result = await live.add(events, asked.settings.max_seconds)
    if result.others:
        raise ProblemError(
            "other_event",
            f"events: expected an id for each event, got that of another event at "
            f"{', '.join(map(str, result.others[:10]))}; the others are kept",
        )
    return Reply(encoded(json_text({"added": result.n_added, "repeated": result.n_repeated})))


def delete_user(asked: Asked) -> Reply:
    """Answer when the events of a user are deleted; the next version leaves the user out."""
    user_id = _checked_id("user_id", asked.path["user_id"], is_integer=False)
    created = datetime.fromisoformat(asked.opened.manifest.created)  # the version was there before
    n = _live_of(asked).delete_user(user_id, int(created.timestamp()) * _MICROSECONDS)
    version = (
        asked.opened.version if asked.opened.content.users.ids.find(user_id) is not None else None
    )
    return Reply(encoded(json_text({"deleted_events": n, "still_in_version": version})))


def _live_of(asked: Asked) -> Live:
    live = asked.opened.fresh.live
    if live is None:
        raise ProblemError("no_events", "this service takes no events")
    return live


def _events_of(asked: Asked) -> list[Event]:
    given, fresh, now = asked.given, asked.opened.fresh, time.time()
    if "events" not in given:
        return [_event(given, fresh, now)]
    if len(given) > 1:
        raise ProblemError("invalid", "expected one event, or events, got both")
    listed, most = given["events"], _live_of(asked).settings.max_batch
    if not 1 <= len(listed) <= most:
        raise ProblemError("invalid", f"events: expected 1 to {most:,}, got {len(listed):,}")
    found = []
    for position, one in enumerate(listed):
        try:
            found.append(_event(in_body(one, _BY_NAME, asked.settings), fresh, now))
        except ProblemError as problem:
            raise ProblemError("invalid", f"events[{position}]: {problem.detail}") from problem
    return found


def _event(given: Arguments, fresh: Fresh, now: float) -> Event:
    of_users, of_items = fresh.have_integers
    event, value = given.get("event"), given.get("value")
    if value is not None:
        value = _checked_value(value)
    for name in ("event", "event_id"):
        _checked_text(name, given.get(name))
    try:
        fresh.weights.weight(event, value)
    except DataError as error:  # what the night would reject is rejected now
        raise ProblemError("invalid", str(error)) from error
    return Event(
        _checked_id("user_id", given.get("user_id"), is_integer=of_users),
        _checked_id("item_id", given.get("item_id"), is_integer=of_items),
        _microseconds(given.get("timestamp"), now),
        event,
        value,
        given.get("event_id"),
    )


def _checked_id(name: str, id_: Id | None, *, is_integer: bool) -> str:
    if id_ is None:
        raise ProblemError("invalid", f"{name}: expected it, got none")
    text = str(id_) if isinstance(id_, str) or abs(id_) < 1 << 63 else ""
    if not text.strip(_WHITESPACE):
        raise ProblemError("invalid", f"{name}: expected an id, got a blank or too large a number")
    _require_whole(name, text)
    if is_integer:
        found = canonical(text, integers=True)
        if found is None or not -(1 << 63) <= int(found) < 1 << 63:
            raise ProblemError(
                "invalid", f"{name}: expected an integer, as the version has, got {briefly(text)}"
            )
    return text


def _checked_text(name: str, text: str | None) -> None:
    if text is None:
        return
    if not 1 <= len(text) <= _MOST_CHARACTERS or "\0" in text:
        raise ProblemError("invalid", f"{name}: expected 1 to {_MOST_CHARACTERS} characters")
    _require_whole(name, text)


def _require_whole(name: str, text: str) -> None:
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ProblemError("invalid", f"{name}: expected text, got half a character") from error


def _checked_value(value: float) -> float:
    try:
        number = float(value)
    except OverflowError:
        number = inf
    if not isfinite(number):
        raise ProblemError("invalid", "value: expected a number, got too large a one")
    return number


def _microseconds(timestamp: float | str | None, now: float) -> int:
    if timestamp is None:
        return int(now * _MICROSECONDS)
    seconds = _seconds(timestamp)
    if not 0 <= seconds <= now + _SECONDS_PER_DAY:
        raise ProblemError(
            "invalid",
            f"timestamp: expected seconds since 1970, or ISO 8601, no later than tomorrow, got "
            f"{briefly(str(timestamp))}",
        )
    return round(seconds * _MICROSECONDS)


def _seconds(timestamp: float | str) -> float:
    """Return seconds since 1970, or a negative number where it is no time."""
    try:
        if not isinstance(timestamp, str):
            return float(timestamp)
        moment = datetime.fromisoformat(timestamp)
        return (moment if moment.tzinfo else moment.replace(tzinfo=UTC)).timestamp()
    except (ValueError, OverflowError):
        return -1.0
