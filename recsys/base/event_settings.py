"""What becomes of events that the online service takes; the [events] table."""

from dataclasses import dataclass

from recsys.base.checks import ShowsChanges, require, require_types
from recsys.base.errors import ConfigError, briefly
from recsys.base.query_settings import without_passwords


@dataclass(frozen=True, repr=False)
class EventSettings(ShowsChanges):
    """Where events are kept between two nights, and how many; the ``[events]`` table.

    Of `recsys serve`, which takes them, and of the night, which reads them with its log.
    """

    enabled: bool = True
    """Without, the service takes no events, and the night reads none."""
    database: str | None = None
    """A file of SQLite, or the address of a PostgreSQL database, as in
    "postgresql://recsys@db.example/recsys". Default: events/live.sqlite in the store."""
    max_events: int = 10_000_000
    """Most events in the database; beyond, the service answers 507. A night takes them to files of
    the store, and they leave the database when no version is kept that was trained without them;
    where it is half full, when the current one was trained on them."""
    max_batch: int = 1_000
    """Most events of one request."""
    max_history: int = 1_000
    """Newest events of one user that count in lists until the next version."""

    def __post_init__(self) -> None:
        require_types("events", self)
        for name in ("max_events", "max_batch", "max_history"):
            require(f"events.{name}", getattr(self, name), least=1)
        if "://" in (self.database or "") and not self.is_remote:
            raise ConfigError(
                'events.database: expected a file, or an address that begins with "postgresql://", '
                f"got {briefly(without_passwords(str(self.database)))}"
            )

    @property
    def is_remote(self) -> bool:
        """Whether the database is one of PostgreSQL."""
        return (self.database or "").startswith(("postgresql://", "postgres://"))
