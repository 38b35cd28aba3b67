"""The columns of a log: which of a file's are read, and which look as if they should be."""

from collections.abc import Collection, Mapping, Sequence

from recsys.base.errors import DataError, did_you_mean
from recsys.settings import LogSettings

_MEANINGS = (  # our optional columns, the setting that takes one, and how others call them
    (
        "value",
        "log.columns.value",
        "rating ratings stars score quantity qty count plays playcount weight hours preference "
        "overall amount",
    ),
    (
        "timestamp",
        "log.columns.timestamp",
        "time date datetime ts unixtime unix_time unixreviewtime created_at event_time "
        "invoicedate invoice_date eventtime",
    ),
    (
        "event",
        "log.columns.event and log.events",
        "event_type eventtype action behavior behaviour event_name type",
    ),
    ("event", "log.events", "event"),
)


def resolve_columns(
    available: Sequence[str], settings: LogSettings, where: str, hint: str = ""
) -> Mapping[str, str]:
    """Return our name to the log's name for the columns that are read, in the order of a row.

    `hint` is what else may be done where one is missing.
    """
    resolved = {}
    for name, needed_for in _needs(settings).items():
        column = settings.columns.get(name, name)
        if available.count(column) > 1:
            raise DataError(
                f"log {where}: column {column!r} occurs {available.count(column)} times; "
                "give each column its own name"
            )
        if column in available:
            resolved[name] = column
        elif needed_for is not None or name in settings.columns:
            others = set(known_columns(settings).values()) - {column}
            close = did_you_mean(column, [one for one in available if one not in others])
            reason = f"{needed_for} needs" if needed_for else "log.columns names"
            shown = ", ".join(map(repr, available[:30])) or "none"
            raise DataError(
                f"log {where}: expected a column {column!r}, which {reason}, got columns {shown}"
                f"{close}; map the right one with log.columns.{name}{hint}"
            )
    return resolved


def known_columns(settings: LogSettings) -> dict[str, str]:
    """Return our name to the log's name for the columns that are read where they are there."""
    return {name: settings.columns.get(name, name) for name in _needs(settings)}


def unused_columns(
    available: Sequence[str], resolved: Mapping[str, str], partition: Collection[str] = ()
) -> list[str]:
    """Say which columns look like one of ours and are not read, and which names of folders.

    Examples
    --------
    >>> unused_columns(["user_id", "item_id", "rating"], {"user_id": "user_id"})
    ["column 'rating' is not used; if it matters: log.columns.value"]
    """
    others = [name for name in partition if name not in resolved.values()]
    sentences = [f"folders state {name!r}, which log.columns does not name" for name in others]
    sentences += [
        f"folders state {name!r}, but the column of that name in the file is read"
        for name in partition
        if name in available and name in resolved.values()
    ]
    found = {
        column: setting
        for ours, setting, names in _MEANINGS
        if ours not in resolved
        for column in available
        if column.lower() in names.split() and column not in resolved.values()
    }
    if found:
        verb = "columns {} are" if len(found) > 1 else "column {} is"
        settings = ", ".join(dict.fromkeys(found.values()))
        named = verb.format(", ".join(map(repr, found)))
        sentences.insert(0, f"{named} not used; if it matters: {settings}")
    return sentences


def _needs(settings: LogSettings) -> dict[str, str | None]:
    """Our names that are read, each with the setting that makes it required, if one does."""
    needs: dict[str, str | None] = {"user_id": "every log", "item_id": "every log"}
    if settings.events or "event" in settings.columns:
        needs["event"] = "log.events" if settings.events else None
    if settings.min_value is not None:
        needs["value"] = "log.min_value"
    elif settings.scale != "none" or "value" in settings.columns:
        needs["value"] = None
    needs_time = (
        f"log.{name}"
        for name in ("since", "until", "half_life_days")
        if getattr(settings, name) is not None
    )
    needs["timestamp"] = next(needs_time, None)
    return needs
