"""Both indexes against a twin that sorts every item."""

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import CorruptVersionError
from recsys.index import AnnoyIndex, ExactIndex, Index, build_forest
from recsys.index.forest import FOREST, TAIL

EVERY_NODE = 10**6


def slow_search(items, user, k, exclude):
    """Sort all items by score, then by row; both indexes must agree to the last bit."""
    left = [row for row in range(len(items)) if row not in set(exclude.tolist())]
    scores = {row: float(items[row].astype(np.float64) @ user) for row in left}
    best = sorted(left, key=lambda row: (-scores[row], row))[:k]
    return best, [scores[row] for row in best]


def random_world(seed: int, n_items: int, factors: int):
    """Embeddings of small whole numbers, whose dot products float32 holds without rounding."""
    rng = np.random.default_rng(seed)
    items = rng.integers(-3, 4, (n_items, factors)) * rng.choice([0, 1, 1, 5], (n_items, 1))
    return items.astype(np.float32), rng.integers(-2, 3, factors).astype(np.float32), rng


def agrees(index: Index, items, user, k, exclude) -> None:
    rows, scores = index.search(user, k, exclude)
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32
    assert (rows.tolist(), scores.tolist()) == slow_search(items, user, k, exclude)


@given(st.integers(0, 10**6), st.integers(1, 700), st.integers(1, 6), st.integers(1, 60), st.data())
@settings(max_examples=80, deadline=None)
def test_exact_is_the_twin(seed, n_items, factors, k, data) -> None:
    items, user, rng = random_world(seed, n_items, factors)
    n_excluded = data.draw(st.integers(0, n_items))
    exclude = np.sort(rng.choice(n_items, n_excluded, replace=False)).astype(np.int32)
    agrees(ExactIndex(items), items, user, k, exclude)


@given(
    st.integers(0, 10**6),
    st.integers(1, 500),
    st.integers(1, 6),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.1, 0.6]),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_annoy_that_looks_at_every_node_is_the_twin(
    tmp_path_factory, seed, n_items, factors, k, head_share, data
) -> None:
    items, user, rng = random_world(seed, n_items, factors)
    folder = tmp_path_factory.mktemp("forest")
    if not build_forest(items, folder, head_share=head_share, trees=2, seed=0):
        assert list(folder.iterdir()) == []
        return
    n_excluded = data.draw(st.integers(0, n_items // data.draw(st.sampled_from([1, 20]))))
    exclude = np.sort(rng.choice(n_items, n_excluded, replace=False)).astype(np.int32)
    index = AnnoyIndex(items, folder, EVERY_NODE)
    found, scores = index.search(user, k, exclude)
    best_scores = slow_search(items, user, k, exclude)[1]
    # Which of two equal tail items becomes a candidate is up to the rounding of their angles.
    assert scores.tolist() == best_scores
    assert scores.tolist() == (items[found] @ user).tolist()
    assert not set(found.tolist()) & set(exclude.tolist())
    assert len(set(found.tolist())) == len(found)
    order = list(zip((-scores).tolist(), found.tolist(), strict=True))
    assert order == sorted(order)


@pytest.mark.parametrize("search_k", [1, 50])
def test_a_poor_forest_still_fills_the_list(tmp_path: Path, search_k: int) -> None:
    rng = np.random.default_rng(1)
    items = rng.standard_normal((3000, 16)).astype(np.float32)
    build_forest(items, tmp_path, head_share=0.0, trees=1, seed=0)
    index = AnnoyIndex(items, tmp_path, search_k)
    user = rng.standard_normal(16).astype(np.float32)
    nearest = ExactIndex(items).search(user, 200, np.empty(0, np.int32))[0]
    for k in (1, 10, 300, 2990, 5000):
        exclude = np.sort(nearest[:150])  # just those that the forest would find
        found, scores = index.search(user, k, exclude)
        assert len(found) == len(set(found.tolist())) == min(k, 3000 - 150)
        assert not set(found.tolist()) & set(exclude.tolist())
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(scores, items[found] @ user, rtol=1e-5, atol=1e-6)


def test_the_head_finds_what_the_forest_does_not(tmp_path: Path) -> None:
    """Most items are small, few are large and best for everybody: the shape of real ALS items."""
    rng = np.random.default_rng(2)
    items = (rng.standard_normal((4000, 16)) * rng.lognormal(0, 1.2, (4000, 1))).astype(np.float32)
    users = rng.standard_normal((50, 16)).astype(np.float32)
    nothing = np.empty(0, np.int32)

    def recall(head_share: float) -> float:
        folder = tmp_path / str(head_share)
        folder.mkdir()
        build_forest(items, folder, head_share=head_share, trees=10, seed=0)
        index = AnnoyIndex(items, folder, search_k=50)
        shared = [
            len(
                np.intersect1d(
                    index.search(user, 20, nothing)[0],
                    ExactIndex(items).search(user, 20, nothing)[0],
                )
            )
            for user in users
        ]
        return sum(shared) / (20 * len(users))

    without, with_head = recall(0.0), recall(0.1)
    assert with_head > 0.9
    assert with_head > without


def test_the_same_items_and_seed_give_the_same_files(tmp_path: Path) -> None:
    items = np.random.default_rng(3).standard_normal((500, 8)).astype(np.float32)
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        (tmp_path / name).mkdir()
        build_forest(items, tmp_path / name, head_share=0.1, trees=5, seed=seed)
    first, again, other = ((tmp_path / name / FOREST).read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_a_zero_user_gets_rows_in_order(tmp_path: Path) -> None:
    items = np.random.default_rng(4).standard_normal((500, 8)).astype(np.float32)
    build_forest(items, tmp_path, head_share=0.1, trees=5, seed=0)
    index = AnnoyIndex(items, tmp_path, 100)
    agrees(index, items, np.zeros(8, np.float32), 5, np.array([0, 2], np.int32))


def test_huge_and_tiny_norms_stay_in_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for scale in (1e-25, 1e18):
        folder = tmp_path / str(scale)
        folder.mkdir()
        items = (rng.standard_normal((600, 8)) * scale).astype(np.float32)
        build_forest(items, folder, head_share=0.1, trees=5, seed=0)
        user = rng.standard_normal(8).astype(np.float32)
        nothing = np.empty(0, np.int32)
        found = AnnoyIndex(items, folder, EVERY_NODE).search(user, 10, nothing)[0]
        assert found.tolist() == ExactIndex(items).search(user, 10, nothing)[0].tolist()


@pytest.mark.parametrize("name", [FOREST, TAIL])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "of other items"])
def test_damaged_files_are_named(tmp_path: Path, name: str, damage: str) -> None:
    items = np.random.default_rng(6).standard_normal((300, 4)).astype(np.float32)
    build_forest(items, tmp_path, head_share=0.1, trees=3, seed=0)
    path = tmp_path / name
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        (tmp_path / "other").mkdir()
        build_forest(np.tile(items, (2, 1)), tmp_path / "other", head_share=0.1, trees=3, seed=0)
        path.write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(CorruptVersionError, match=name.replace(".", r"\.")):
        AnnoyIndex(items, tmp_path, 100)
