"""Items that nobody has met: their attributes give them a vector, in a version and in a process."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.nightly import run_refresh
from recsys.nightly.outputs import read_embeddings, write_embeddings
from recsys.store import find_version, verify
from tests.worlds import tastes

K = 5


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store of users with one taste each, whose model knows the tastes of 40 items."""
    place = tmp_path_factory.mktemp("new")
    log = tastes(n_users=80, per_user=8)
    events = pa.table(
        {
            "user_id": [f"u{user}" for user in log.user_idx],
            "item_id": [f"i{item}" for item in log.item_idx],
            "timestamp": log.timestamp,
        }
    )
    pq.write_table(events, place / "events.parquet")
    pq.write_table(items(40), place / "items.parquet")
    recsys.train(
        place / "events.parquet",
        place / "store",
        items=place / "items.parquet",
        model=recsys.ALS(factors=4),
        item_features=["taste"],
        split="items",
        k=K,
        gates={"enabled": False},
        index={"kind": "exact"},
    )
    return place


def items(n: int) -> pa.Table:
    return pa.table(
        {
            "item_id": [f"i{item}" for item in range(n)],
            "taste": [f"t{item % 4}" for item in range(n)],
            "title": [f"title {item}" for item in range(n)],
        }
    )


def test_a_version_is_tested_on_new_items_and_on_all(place: Path) -> None:
    metrics = find_version(place / "store").manifest.metrics
    assert {"als", "als, new items", "als, all items", "popularity"} <= metrics.keys()
    warm, new, everything = (metrics[f"als{of}"] for of in ("", ", new items", ", all items"))
    assert (warm.n_items, new.n_items, everything.n_items) == (32, 8, 40)
    assert new.metrics[f"recall@{K}"] > 0.9
    assert everything.metrics[f"recall@{K}"] > 0.8


def test_new_items_are_in_lists_of_a_process_and_of_a_refreshed_store(place: Path) -> None:
    recommender = recsys.open(place / "store")
    new = ["i40", "i41", "i42", "i43"]
    assert recommender.add_items(items(44)) == new
    found = recommender.recommend("u0", K)
    assert "i40" in [one.item_id for one in found]
    assert recommender.explain("u0", "i40").is_new_item
    pq.write_table(items(44), place / "items.parquet")
    report = run_refresh(
        {
            "data": {"log": str(place / "events.parquet"), "items": str(place / "items.parquet")},
            "gates": {"enabled": False},
        },
        place / "store",
    )
    assert report.version is not None
    verify(place / "store", report.version)
    refreshed = recsys.open(place / "store")
    of_store = refreshed.recommend("u0", K)
    assert [one.item_id for one in of_store] == [one.item_id for one in found]
    assert of_store.are_new == found.are_new
    assert refreshed.describe("i43")["title"] == "title 43"
    assert refreshed.add_items(items(45)) == ["i44"]  # by the map, which the new version has
    nothing_new = run_refresh(
        {"data": {"log": str(place / "events.parquet"), "items": str(place / "items.parquet")}},
        place / "store",
    )
    assert nothing_new.version == report.version


def test_embeddings_between_two_stages_keep_the_ridges_of_their_maps(tmp_path: Path) -> None:
    rows = np.ones((2, 3), np.float32)
    found = recsys.Embeddings(rows, rows, item_map=rows, ridges={"item": 2**0.5, "user": 2.0})
    write_embeddings(tmp_path, found)
    read = read_embeddings(tmp_path)
    assert read.ridges == found.ridges
    assert read.matrices.keys() == found.matrices.keys()
