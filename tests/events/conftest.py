"""Databases of events of both kinds."""

from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from recsys.events import EventDatabase, EventSettings, open_events


@pytest.fixture(params=["sqlite", "postgres"])
def opened(
    request: pytest.FixtureRequest, tmp_path: Path
) -> Iterator[Callable[..., EventDatabase]]:
    """Open the database of a test, by several processes or machines as it were."""
    address, made = None, []
    if request.param == "postgres":
        address = request.getfixturevalue("server").address
        import psycopg

        with psycopg.connect(address, autocommit=True) as connection:
            for table in ("about", "events", "deletions"):
                connection.execute(f"DROP TABLE IF EXISTS recsys_{table}")

    def open_one(max_events: int = 100) -> EventDatabase:
        settings = EventSettings(database=address, max_events=max_events)
        made.append(open_events(tmp_path, settings))
        return made[-1]

    yield open_one
    for one in made:
        one.close()


@pytest.fixture
def database(opened: Callable[..., EventDatabase]) -> EventDatabase:
    return opened()
