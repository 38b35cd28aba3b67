"""What is built is measured, and refused below its target."""

from pathlib import Path

import numpy as np
import pytest

from recsys.errors import ConfigError, GateFailedError, StoreError
from recsys.index import (
    RECALL_K,
    AnnoyIndex,
    ExactIndex,
    IndexSettings,
    build_index,
    load_index,
)


@pytest.fixture(scope="module")
def world():
    rng = np.random.default_rng(0)
    items = (rng.standard_normal((3000, 16)) * rng.lognormal(0, 0.4, (3000, 1))).astype(np.float32)
    users = rng.standard_normal((60, 16)).astype(np.float32)
    seen = [np.sort(rng.choice(3000, 30, replace=False)).astype(np.int32) for _ in users]
    return items, users, seen


def recall_by_hand(index, items, users, seen) -> float:
    found = wanted = 0
    for user, exclude in zip(users, seen, strict=True):
        scores = items.astype(np.float64) @ user
        scores[exclude] = -np.inf
        best = set(np.argsort(-scores)[:RECALL_K].tolist())
        found += len(best & set(index.search(user, RECALL_K, exclude)[0].tolist()))
        wanted += len(best)
    return found / wanted


@pytest.mark.parametrize("target", [0.5, 0.98, 1.0])
def test_search_k_grows_until_the_target_is_met(tmp_path: Path, world, target: float) -> None:
    settings = IndexSettings(target_recall=target, trees=5, head_share=0.05)
    facts = build_index(*world, settings, tmp_path)
    index = load_index(world[0], tmp_path, facts)
    assert isinstance(index, AnnoyIndex)
    assert facts["recall@20"] >= target
    assert facts["recall@20"] == pytest.approx(recall_by_hand(index, *world))
    assert facts["n_users_measured"] == 60
    assert 0 < facts["p50_ms"] <= facts["p99_ms"]


def test_a_higher_target_searches_more(tmp_path: Path, world) -> None:
    searched = []
    for target in (0.5, 1.0):
        settings = IndexSettings(target_recall=target, trees=5, head_share=0.0)
        searched.append(build_index(*world, settings, tmp_path)["search_k"])
    assert searched[0] < searched[1]


def test_an_index_below_its_target_is_refused(tmp_path: Path, world) -> None:
    settings = IndexSettings(target_recall=0.99, trees=1, head_share=0.0, max_search_k=100)
    with pytest.raises(GateFailedError, match=r"at least 0\.99.*raise index\.head_share") as caught:
        build_index(*world, settings, tmp_path)
    assert len(caught.value.failures) == 1


def test_auto_takes_exact_where_annoy_misses(tmp_path: Path, world) -> None:
    settings = IndexSettings(
        kind="auto", target_recall=0.99, trees=1, head_share=0.0, max_search_k=100
    )
    facts = build_index(*world, settings, tmp_path)
    assert facts["kind"] == "exact"
    assert list(tmp_path.iterdir()) == []
    assert isinstance(load_index(world[0], tmp_path, facts), ExactIndex)


def test_exact_writes_no_file(tmp_path: Path, world) -> None:
    facts = build_index(*world, IndexSettings(kind="exact"), tmp_path)
    assert facts["kind"] == "exact"
    assert facts["recall@20"] == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("n_items", [0, 1, 2, 25])
@pytest.mark.parametrize("fill", [0.0, 1.0])
def test_tiny_and_zero_catalogues(tmp_path: Path, n_items: int, fill: float) -> None:
    items = np.full((n_items, 3), fill, dtype=np.float32)
    users = np.ones((2, 3), dtype=np.float32)
    seen = [np.empty(0, np.int32), np.arange(min(n_items, 1), dtype=np.int32)]
    facts = build_index(items, users, seen, IndexSettings(), tmp_path)
    index = load_index(items, tmp_path, facts)
    for user, exclude in zip(users, seen, strict=True):
        rows, scores = index.search(user, 40, exclude)
        assert rows.tolist() == [row for row in range(n_items) if row not in exclude]
        assert scores.tolist() == [3 * fill] * len(rows)


def test_ties_are_no_misses(tmp_path: Path) -> None:
    """All items alike: whichever are found, they are as good as any."""
    items = np.ones((500, 2), dtype=np.float32)
    users = np.ones((3, 2), dtype=np.float32)
    facts = build_index(items, users, [np.empty(0, np.int32)] * 3, IndexSettings(), tmp_path)
    assert facts["kind"] == "annoy"
    assert facts["recall@20"] == 1


def test_without_users_there_is_nothing_to_measure(tmp_path: Path, world) -> None:
    facts = build_index(world[0], world[1][:0], [], IndexSettings(), tmp_path)
    assert facts["recall@20"] is None
    assert facts["p50_ms"] is None


def test_an_unknown_kind_is_of_another_release(tmp_path: Path, world) -> None:
    with pytest.raises(StoreError, match="'quantum'"):
        load_index(world[0], tmp_path, {"kind": "quantum"})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "dot"),
        ("target_recall", 0),
        ("target_recall", 1.1),
        ("target_recall", float("nan")),
        ("head_share", 1.0),
        ("head_share", -0.1),
        ("trees", 0),
        ("max_search_k", 0),
        ("seed", -1),
    ],
)
def test_settings_out_of_range_are_named(name: str, value) -> None:
    with pytest.raises(ConfigError, match=rf"index\.{name}: expected"):
        IndexSettings(**{name: value})
