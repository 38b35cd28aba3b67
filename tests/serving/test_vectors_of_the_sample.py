"""Trained vectors of the bundled sample, against the tastes that it was drawn from.

What is asked of one half of a group was learnt from the other half.
"""

from itertools import combinations
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.serving import Recommender
from recsys.settings import IndexSettings


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory, sample: Path) -> Recommender:
    store = tmp_path_factory.mktemp("store")
    settings = recsys.Settings(model=recsys.ALS(factors=16), index=IndexSettings(kind="exact"))
    recsys.train(recsys.read_log(sample), store, settings=settings)
    return recsys.open(store)


@pytest.fixture(scope="module")
def shelves(sample: Path) -> dict[str, list[str]]:
    """The items of each category."""
    table = pq.read_table(sample.with_name("items.parquet"), columns=["category", "item_id"])
    found: dict[str, list[str]] = {}
    for category, item_id in zip(*(column.to_pylist() for column in table.columns), strict=True):
        found.setdefault(category, []).append(item_id)
    return found


@pytest.fixture(scope="module")
def fans(sample: Path) -> dict[str, dict[str, list[str]]]:
    """The users, and the items, that are mostly of one taste."""
    found = {}
    for side in ("users", "items"):
        ids, tastes, shares = truth_of(sample, side)
        found[side] = {
            taste: ids[shares[:, column] > 0.6].tolist() for column, taste in enumerate(tastes)
        }
    return found


def truth_of(sample: Path, side: str) -> tuple[np.ndarray, list[str], np.ndarray]:
    """The ids (n,), the tastes, and the share of each taste (n, n_tastes)."""
    table = pq.read_table(sample.with_name(f"{side}_truth.parquet"))
    shares = np.stack([column.to_numpy() for column in table.columns[1:]], axis=1)
    return np.array(table.column(0).to_pylist()), table.column_names[1:], shares


def test_the_average_of_half_a_shelf_is_near_the_other_half(recommender, shelves) -> None:
    items = recommender.item_vectors
    shares = []
    for shelf in shelves.values():
        known, rest = shelf[::2], set(shelf[1::2])
        found = items.nearest(items.average(known), 10, exclude=known)
        shares.append(np.mean([id_ in rest for id_, _ in found]))
    assert np.mean(shares) > 0.6  # of 575 items, 25 are of the shelf: 0.04 by chance


def test_what_is_near_the_average_of_a_shelf_is_of_its_tastes(recommender, shelves, sample) -> None:
    """Also where two shelves share a taste, so that the shelf itself does not tell them apart."""
    items = recommender.item_vectors
    ids, _, shares = truth_of(sample, "items")
    truth = dict(zip(ids.tolist(), shares, strict=True))
    for name, shelf in shelves.items():
        found = items.nearest(items.average(shelf[::2]), 10, exclude=shelf[::2])
        own = np.mean([truth[id_] for id_ in shelf], axis=0)
        by_chance = cosine(shares.mean(axis=0), own)
        assert cosine(np.mean([truth[id_] for id_, _ in found], axis=0), own) > 0.7, name
        assert by_chance < 0.6, name


def test_a_direction_between_two_shelves_separates_them(recommender, shelves) -> None:
    items = recommender.item_vectors
    areas = []
    for start, end in combinations(shelves.values(), 2):
        direction = items.direction(start[::2], end[::2])
        low, high = items.project(start[1::2], direction), items.project(end[1::2], direction)
        areas.append(auc(low, high))
    assert np.median(areas) > 0.99
    assert min(areas) > 0.7  # two shelves of one taste


def test_a_direction_between_items_separates_the_users_of_these_tastes(recommender, fans) -> None:
    items, users = recommender.item_vectors, recommender.user_vectors
    for start, end in combinations(fans["items"], 2):
        direction = items.direction(fans["items"][start], fans["items"][end])
        low, high = (users.project(fans["users"][taste], direction) for taste in (start, end))
        assert auc(low, high) > 0.95, (start, end)


def auc(low, high) -> float:
    """The share of pairs, one of each group, that are in order."""
    return float((high[:, None] > low[None, :]).mean())


def cosine(a, b) -> float:
    return float(a @ b / np.linalg.norm(a) / np.linalg.norm(b))
