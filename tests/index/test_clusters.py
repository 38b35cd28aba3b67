"""Items in clusters: the exact search against a twin, what a few clusters find, and damage."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import CorruptVersionError
from recsys.index import LONG, SHORT, IndexSummary, Searcher, build_index, load_index
from recsys.index.clusters import Partition, cluster_items, open_clusters, write_clusters
from recsys.index.measurement import Sample
from recsys.index.quantized import open_codes, write_codes
from recsys.settings import IndexSettings
from tests.index.test_search import NOTHING, clustered, instructions

__all__ = ["instructions"]


def in_clusters(n_items: int, factors: int, n_groups: int, seed: int = 0) -> np.ndarray:
    """Return unit vectors around some directions, which are the same for any seed."""
    groups = np.random.default_rng(0).standard_normal((n_groups, factors))
    rng = np.random.default_rng(seed + 1)
    items = groups[rng.integers(0, n_groups, n_items)]
    items = items + 0.5 * rng.standard_normal((n_items, factors))
    return (items / np.linalg.norm(items, axis=1)[:, None]).astype(np.float32)


@pytest.mark.parametrize("factors", [1, 3, 64, 130])
@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.usefixtures("instructions")
def test_the_list_is_that_of_the_scan_by_norms(factors: int, cosine: bool) -> None:
    """Vectors of no special numbers, also of different norms, by both kinds of instructions."""
    items = in_clusters(3000, factors, 20)
    items *= np.random.default_rng(1).lognormal(0, 0.3, (3000, 1)).astype(np.float32)
    in_groups, scanned = clustered(items, cosine=cosine), Searcher.of(items, cosine=cosine)
    for user in in_clusters(20, factors, 20, seed=2):
        for k in (1, 20, 500, 3000):
            found, expected = (one.search(user, k, NOTHING) for one in (in_groups, scanned))
            np.testing.assert_array_equal(found[0], expected[0])
            np.testing.assert_array_equal(found[1], expected[1])


@pytest.fixture(scope="module")
def world() -> tuple[np.ndarray, Sample]:
    items = in_clusters(20_000, 16, 100)
    users = in_clusters(60, 16, 100, seed=3)
    return items, Sample(users, [NOTHING] * len(users))


@pytest.fixture(scope="module")
def built(world, tmp_path_factory) -> tuple[Path, IndexSummary]:
    items, sample = world
    folder = tmp_path_factory.mktemp("index")
    return folder, build_index(items, sample, IndexSettings(kind="auto", trees=2), folder)


def test_unit_vectors_stand_in_clusters_that_reach_the_target(world, built) -> None:
    items, _ = world
    folder, summary = built
    assert summary.kind == "clusters"
    assert min(summary.recall.values()) >= 0.98
    assert IndexSummary.from_dict(summary.to_dict()) == summary
    index = load_index(items, folder, summary)
    found, _ = index.search(items[7], 20, NOTHING)
    assert found[0] == 7
    # Under a condition, and for long lists, all clusters are scanned.
    allowed = np.arange(len(items)) % 100 == 3
    exact = Searcher.of(items)
    for k, mask in ((20, allowed), (1000, None)):
        of = [one.search(items[7], k, NOTHING, one.allow(mask))[0] for one in (index, exact)]
        np.testing.assert_array_equal(*of)


def test_items_at_the_edge_of_a_cluster_are_found_with_it() -> None:
    """Though a block of sixteen holds items of two clusters and belongs to one of them."""
    items = in_clusters(3000, 16, 30)
    partition = Partition.of(items, 0)
    scores = items @ partition.centers.T
    first, second = np.sort(scores, axis=1)[:, :-3:-1].T
    # Clearly the nearest, as the codes of centers are rounded.
    is_nearest = (scores.argmax(axis=1) == partition.cluster) & (first > 1.02 * second)
    assert is_nearest.sum() > 2000
    index = clustered(items).with_limits({SHORT: 1, LONG: 1})
    for row in np.flatnonzero(is_nearest).tolist():
        assert index.search(items[row], 1, NOTHING)[0] == row


def test_an_index_with_one_radius_of_each_cluster_is_still_read(world, built, tmp_path) -> None:
    (items, sample), (folder, _) = world, built
    opened, codes = open_clusters(folder, *items.shape), open_codes(folder, *items.shape)
    # Of the largest, as a cluster without blocks has none.
    of_cluster = np.full(len(opened.centers), opened.radius.max())
    write_clusters(replace(opened, radius=of_cluster), tmp_path)
    before, now = (
        Searcher(items, codes, clusters=open_clusters(one, *items.shape))
        for one in (tmp_path, folder)
    )
    for user in sample.users[:10]:
        np.testing.assert_array_equal(*(one.search(user, 100, NOTHING)[0] for one in (before, now)))


def test_exact_stays_exact(world, tmp_path: Path) -> None:
    items, sample = world
    summary = build_index(items, sample, IndexSettings(kind="exact"), tmp_path)
    assert summary.kind == "clusters"
    assert set(summary.clusters.search_k.values()) == {0}
    assert summary.recall == {SHORT: 1.0, LONG: 1.0}


def test_norms_that_end_a_scan_need_no_clusters(tmp_path: Path) -> None:
    items = in_clusters(12_000, 16, 60)
    items *= np.random.default_rng(0).lognormal(0, 1, (12_000, 1)).astype(np.float32)
    sample = Sample(in_clusters(40, 16, 60, seed=3), [NOTHING] * 40)
    assert build_index(items, sample, IndexSettings(kind="exact"), tmp_path).kind == "exact"


@given(
    st.sampled_from(["starts", "centers", "radius", "axes", "leads", "limits"]),
    st.lists(st.integers(0, 10**9), min_size=1, max_size=20),
)
@settings(max_examples=60, deadline=None)
def test_no_flipped_bit_leads_a_search_astray(tmp_path_factory, name: str, bits: list[int]) -> None:
    """Answers may be wrong, but there are some, and the process lives."""
    folder = tmp_path_factory.mktemp("index")
    items = in_clusters(640, 8, 5)
    codes, clusters = cluster_items(items, None, 0)
    write_codes(codes, folder)
    write_clusters(clusters, folder)
    path = folder / f"{name}.npy"
    content = bytearray(path.read_bytes())
    for bit in bits:  # behind the header, which is checked
        at = 128 + bit // 8 % (len(content) - 128)
        content[at] ^= 1 << bit % 8
    path.write_bytes(content)
    try:
        opened = open_clusters(folder, *items.shape)
    except CorruptVersionError:
        return
    index = Searcher(items, open_codes(folder, *items.shape), clusters=opened)
    for one in (index, index.with_limits({SHORT: 2, LONG: 2})):
        for k in (5, 640):
            rows, _ = one.search(items[0], k, np.arange(7, dtype=np.int32))
            assert len(rows) <= k
            assert all(0 <= row < 640 for row in rows.tolist())


def test_the_same_clusters_whatever_the_threads(world) -> None:
    items, _ = world
    first, second = (cluster_items(items, None, 0) for _ in range(2))
    for one, other in zip(first, second, strict=True):
        assert type(replace(one)) is type(other)
        for name in vars(one):
            np.testing.assert_array_equal(getattr(one, name), getattr(other, name))
