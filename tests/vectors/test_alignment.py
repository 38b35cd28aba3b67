"""Rotations that are known are found, whatever the lengths and whatever moved."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from recsys.errors import DataError
from recsys.vectors import Alignment, Embeddings, Ids, align, shared_rows


def rotation_of(factors: int, seed: int = 0) -> NDArray[np.float64]:
    """A random orthogonal matrix, with a mirror in it or not."""
    rng = np.random.default_rng(seed)
    return np.linalg.qr(rng.standard_normal((factors, factors)))[0]


def random_items(n: int, factors: int, seed: int = 0) -> NDArray[np.float32]:
    """Vectors of very unequal lengths and of unequal coordinates."""
    rng = np.random.default_rng(seed)
    lengths = 10.0 ** rng.uniform(-3, 3, (n, 1))
    spread = np.linspace(1, 0.2, factors)
    return (lengths * spread * rng.standard_normal((n, factors))).astype(np.float32)


def turned(matrix: NDArray[np.float32], rotation: NDArray[np.float64]) -> NDArray[np.float32]:
    return (matrix @ rotation).astype(np.float32)


def obvious(items: NDArray[np.float32], onto: NDArray[np.float32], weight: NDArray[np.float64]):
    """Schoenemann's solution in three lines, the twin of `align` without rounds."""
    ours, theirs = (m / np.linalg.norm(m.astype(float), axis=1)[:, None] for m in (items, onto))
    left, _, right = np.linalg.svd(ours.T @ np.diag(weight) @ theirs)
    return left @ right


@pytest.mark.parametrize("factors", [1, 2, 17, 64])
@pytest.mark.parametrize("rounds", [0, 10])
def test_a_known_rotation_is_found(factors: int, rounds: int) -> None:
    items, rotation = random_items(300, factors), rotation_of(factors)
    found = align(items, turned(items, rotation), rounds=rounds)
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-6)
    assert found.n_shared == 300
    assert found.residual < 1e-6
    assert found.cosine_aligned == pytest.approx(1, abs=1e-6)
    assert found.agreement == pytest.approx(1, abs=1e-6)


def test_without_rounds_it_is_the_weighted_least_squares_fit() -> None:
    items, onto = random_items(80, 6, seed=1), random_items(80, 6, seed=2)
    popularity = np.random.default_rng(3).integers(1, 100, 80)
    found = align(items, onto, popularity, rounds=0)
    np.testing.assert_allclose(found.rotation, obvious(items, onto, popularity), atol=1e-6)


@pytest.mark.parametrize("share", [0.1, 0.3, 0.6])
def test_items_that_moved_do_not_turn_the_others(share: float) -> None:
    items, rotation = random_items(400, 16), rotation_of(16)
    onto = turned(items, rotation)
    moved = int(share * 400)
    onto[:moved] = random_items(moved, 16, seed=9)
    followed, resisted = (align(items, onto, rounds=rounds) for rounds in (0, 10))
    assert np.abs(followed.rotation - rotation).max() > 1e-2
    assert np.abs(resisted.rotation - rotation).max() < (1e-5 if share < 0.5 else 1e-2)


def test_a_group_of_items_that_moved_together_is_left_behind() -> None:
    items, rotation = random_items(400, 16), rotation_of(16)
    onto = turned(items, rotation)
    onto[:120] = turned(items[:120], rotation_of(16, seed=7))
    followed, resisted = (align(items, onto, rounds=rounds) for rounds in (0, 10))
    assert np.abs(followed.rotation - rotation).max() > 0.1
    assert np.abs(resisted.rotation - rotation).max() < 1e-2


def test_items_without_interactions_are_left_out() -> None:
    items, rotation = random_items(50, 4), rotation_of(4)
    onto = turned(items, rotation)
    items[:5], onto[3:9] = 0, 0
    found = align(items, onto)
    assert found.n_shared == 41
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-6)
    users = np.ones((2, 4), dtype=np.float32)
    assert not found.apply(Embeddings(users, items)).items[:5].any()


def test_popular_items_count_more() -> None:
    items = random_items(60, 4)
    onto = turned(items, rotation_of(4))
    onto[30:] = turned(items[30:], rotation_of(4, seed=1))
    first, second = np.repeat([100, 1], 30), np.repeat([1, 100], 30)
    for popularity, rotation in ((first, rotation_of(4)), (second, rotation_of(4, seed=1))):
        found = align(items, onto, popularity, rounds=0)
        assert np.abs(found.rotation - rotation).max() < 0.1


def test_a_block_is_rotated_in_itself_and_what_is_in_none_stays() -> None:
    items = random_items(200, 9)
    rotation = np.eye(9)
    rotation[:3, :3], rotation[3:8, 3:8] = rotation_of(3), rotation_of(5)
    found = align(items, turned(items, rotation), blocks=[slice(0, 3), slice(3, 8)])
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-6)
    assert found.rotation[8].tolist() == found.rotation[:, 8].tolist() == [0] * 8 + [1]
    assert not found.rotation[:3, 3:].any()


def test_no_block_at_all_leaves_everything() -> None:
    items = random_items(20, 3)
    np.testing.assert_array_equal(align(items, items[::-1], blocks=[]).rotation, np.eye(3))


def test_what_few_unrelated_items_seem_to_share_is_seen_through() -> None:
    found = align(random_items(20, 16, seed=1), random_items(20, 16, seed=2))
    assert found.cosine_aligned > 0.5  # the fit has as many free numbers as there are items
    assert found.agreement < 0.3


def test_a_direction_that_all_share_is_no_agreement() -> None:
    rng = np.random.default_rng(0)
    narrow = [(1 + 0.2 * rng.standard_normal((300, 8))).astype(np.float32) for _ in range(2)]
    found = align(*narrow)
    assert found.cosine_aligned > 0.9
    assert abs(found.agreement) < 0.1
    assert align(narrow[0], turned(narrow[0], rotation_of(8))).agreement > 0.999


def test_items_that_nothing_tells_apart_agree() -> None:
    same = np.ones((30, 2), dtype=np.float32)
    assert align(same, 2 * same).agreement == pytest.approx(1, abs=0.2)


def test_lengths_grow_and_nothing_is_scaled() -> None:
    items, rotation = random_items(100, 5), rotation_of(5)
    found = align(items, 3 * turned(items, rotation))
    np.testing.assert_allclose(found.rotation, rotation, atol=1e-6)
    assert found.residual == pytest.approx(2 / 3, abs=1e-5)
    assert found.cosine_aligned == pytest.approx(1, abs=1e-6)


def test_columns_that_are_zero_on_both_sides() -> None:
    items = random_items(60, 6)
    items[:, 4:] = 0  # as SVD leaves them beyond the rank
    onto = items.copy()
    onto[:, :4] = turned(items[:, :4], rotation_of(4))
    found = align(items, onto)
    np.testing.assert_allclose(turned(items, found.rotation), onto, rtol=1e-4, atol=1e-4)
    np.testing.assert_allclose(found.rotation @ found.rotation.T, np.eye(6), atol=1e-12)


seeds = st.integers(0, 2**32 - 1)


@given(factors=st.integers(1, 12), n=st.integers(12, 60), seed=seeds)
def test_scores_stay_and_lengths_too(factors: int, n: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    users, items, onto = (
        rng.standard_normal((rows, factors)).astype(np.float32) for rows in (7, n, n)
    )
    before = Embeddings(users, items)
    after = align(items, onto).apply(before)
    scale = np.linalg.norm(users, axis=1)[:, None] * np.linalg.norm(items, axis=1)
    gap = np.abs(after.scores(slice(None)) - before.scores(slice(None)))
    assert (gap <= 1e-5 * scale).all()
    np.testing.assert_allclose(
        np.linalg.norm(after.items, axis=1), np.linalg.norm(items, axis=1), rtol=1e-5
    )


@given(factors=st.integers(1, 8), seed=seeds)
def test_aligning_again_changes_nothing(factors: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    onto = rng.standard_normal((50, factors)).astype(np.float32)
    noise = 0.1 * rng.standard_normal((50, factors))
    items = turned((onto + noise).astype(np.float32), rotation_of(factors, seed))
    once = align(items, onto, rounds=0).apply(Embeddings(items[:3], items))
    again = align(once.items, onto, rounds=0)
    np.testing.assert_allclose(again.rotation, np.eye(factors), atol=1e-5)
    np.testing.assert_allclose(again.apply(once).items, once.items, atol=1e-4)


@given(seed=seeds)
def test_the_order_of_the_items_does_not_matter(seed: int) -> None:
    rng = np.random.default_rng(seed)
    items, onto = (rng.standard_normal((40, 5)).astype(np.float32) for _ in range(2))
    onto += items
    popularity = rng.integers(1, 9, 40)
    order = rng.permutation(40)
    found = align(items, onto, popularity)
    permuted = align(items[order], onto[order], popularity[order])
    np.testing.assert_allclose(permuted.rotation, found.rotation, atol=1e-6)
    for name in ("residual", "cosine_raw", "cosine_aligned", "agreement"):
        assert getattr(permuted, name) == pytest.approx(getattr(found, name), abs=1e-6)


def test_more_rows_than_are_taken_at_a_time(monkeypatch: pytest.MonkeyPatch) -> None:
    items, onto = random_items(50, 4), random_items(50, 4, seed=1)
    whole = align(items, onto)
    monkeypatch.setattr("recsys.vectors.alignment._BLOCK_ROWS", 7)
    np.testing.assert_allclose(align(items, onto).rotation, whole.rotation, atol=1e-9)


def test_of_many_items_the_most_popular_are_fitted(monkeypatch: pytest.MonkeyPatch) -> None:
    items, onto = random_items(50, 4), random_items(50, 4, seed=1)
    popularity = np.arange(50)
    best = align(items[30:], onto[30:], popularity[30:])
    monkeypatch.setattr("recsys.vectors.alignment._MAX_FITTED", 20)
    found = align(items, onto, popularity)
    np.testing.assert_allclose(found.rotation, best.rotation, atol=1e-9)
    assert found.n_shared == 50


def test_twice_gives_the_same_bits() -> None:
    items, onto = random_items(500, 32), random_items(500, 32, seed=1)
    first, second = (align(items, onto) for _ in range(2))
    np.testing.assert_array_equal(first.rotation, second.rotation)
    assert replace(first, rotation=second.rotation).agreement == second.agreement


@pytest.mark.parametrize(
    ("items", "onto", "popularity", "message"),
    [
        (np.ones((3, 4)), np.ones((3, 5)), None, "one shape.*different factors have no rotation"),
        (np.ones((9, 2)), np.ones((9, 2)), np.ones(8, int), r"for each of 9 items.*shape \(8,\)"),
        (np.ones((9, 2)), np.ones((9, 2)), np.full(9, -1), "finite weight of 0 or more"),
        (np.ones((3, 4)), np.ones((3, 4)), None, "4 shared items or more.*got 3.*new space"),
    ],
)
def test_what_cannot_be_aligned(items, onto, popularity, message: str) -> None:
    with pytest.raises(DataError, match=message):
        align(items.astype(np.float32), onto.astype(np.float32), popularity)


def test_rows_that_two_lists_of_ids_share() -> None:
    ours, theirs = shared_rows(Ids(["a", "b", "c", "d"]), Ids(["d", "x", "b"]))
    assert (ours.tolist(), theirs.tolist()) == ([1, 3], [2, 0])
    ours, theirs = shared_rows(Ids(["1", "x"]), Ids([7, 1]))  # either form of an id
    assert (ours.tolist(), theirs.tolist()) == ([0], [1])


def test_an_alignment_is_a_small_thing_to_look_at() -> None:
    found = align(random_items(9, 2), random_items(9, 2, seed=1))
    assert isinstance(found, Alignment)
    assert found.rotation.dtype == np.float64
    assert -1 <= found.cosine_raw <= found.cosine_aligned <= 1
