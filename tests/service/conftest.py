"""A small store with ids of any content, and the service over it."""

from collections.abc import Iterator
from dataclasses import replace
from datetime import date
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.base.event_settings import EventSettings
from recsys.service import Service, ServiceSettings
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import ItemTimes, publish
from tests.store.releases import ODD_IDS, small_release

N_ITEMS = 40
USERS = ["u42", "u1", *ODD_IDS]
ITEMS = ["i7", "i9", *ODD_IDS, *(f"j{row}" for row in range(N_ITEMS - 2 - len(ODD_IDS)))]


def release(seed: int = 0):
    rows = np.arange(N_ITEMS)
    attributes = {
        "item_id": ITEMS,
        "title": ["The Ninth Moonbase", *(f'"Title" \\ {row} é' for row in rows[1:-1]), None],
        "category": [("a", "b", "c")[row % 3] for row in rows],
        "price": (rows * 7 % 31).astype(np.float64),
        "released": [date(2000 + row % 20, 1, 1) for row in rows.tolist()],
    }
    found = small_release(
        len(USERS),
        N_ITEMS,
        seed=seed,
        user_ids=USERS,
        item_ids=ITEMS,
        attributes=pa.table(attributes),
    )
    times = np.float32([20_000 + rows % 9, rows * np.nan, rows % 5 / 5, rows % 3 + 1])
    seen_day = np.full(found.seen.nnz, 20_000, np.uint16)
    return replace(found, times=ItemTimes(*times), seen_day=seen_day)


@pytest.fixture(scope="session")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("service") / "store"
    publish(folder, release(), IndexSettings(kind="exact"))
    return folder


@pytest.fixture(scope="session")
def service(store: Path) -> Service:
    return Service(store).open()


@pytest.fixture
def live(store: Path, tmp_path: Path) -> Iterator[Service]:
    """A service with events of its own."""
    settings = EventSettings(database=str(tmp_path / "events.sqlite"), max_batch=10, max_events=50)
    service = Service(store, ServiceSettings(explore=True), events=settings).open()
    yield service
    service.live.stop()


@pytest.fixture(scope="session")
def recommender(store: Path) -> Recommender:
    return open_store(store)
