"""Curves whose knee is known, and what is read from them."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.evaluation import find_knee
from tests.curves import curve

SIZES = [8, 16, 32, 64, 128]


def users(mean: float, n_users: int = 4000, noise: float = 0.0, seed: int = 0) -> np.ndarray:
    """Users who differ much from each other, always in the same way, and a little by chance."""
    own = np.linspace(-0.2, 0.2, n_users)
    return mean + own + noise * np.random.default_rng(seed).normal(size=n_users)


def test_the_knee_is_where_the_curve_goes_flat() -> None:
    per_user = [users(mean) for mean in (0.20, 0.30, 0.39, 0.398, 0.40)]
    found = find_knee(SIZES, per_user)
    assert (found.place, found.best) == (3, 4)  # 0.5 % is no loss, 2.5 % is one
    assert found.loss == pytest.approx(0.002)


def test_a_curve_that_rises_all_the_way_has_its_knee_at_the_end() -> None:
    found = find_knee(SIZES, [users(mean) for mean in (0.1, 0.2, 0.3, 0.4, 0.5)])
    assert (found.place, found.best, found.loss, found.margin) == (4, 4, 0, 0)


def test_sizes_beyond_the_best_are_not_chosen() -> None:
    assert find_knee(SIZES, [users(mean) for mean in (0.2, 0.4, 0.39, 0.3, 0.2)]).place == 1


def test_a_loss_within_the_noise_is_none() -> None:
    """One curve, measured on few users and on many: many can tell, few cannot."""
    means = (0.1, 0.38, 0.40)

    def knee(n_users: int) -> int:
        per_user = [users(mean, n_users, noise=0.2, seed=place) for place, mean in enumerate(means)]
        return find_knee(SIZES[:3], per_user).place

    assert knee(100) == 1
    assert knee(10_000) == 2


def test_differences_are_paired() -> None:
    """Users differ by far more than the two sizes do, and it is seen that all of them lose."""
    small, large = users(0.38, 100), users(0.40, 100)
    interval = 1.96 * large.std() / np.sqrt(100)
    assert small.mean() > large.mean() - interval  # unpaired intervals would not tell
    assert find_knee([1, 2], [small, large]).place == 1


def test_the_order_of_candidates_does_not_matter() -> None:
    per_user = [users(mean) for mean in (0.40, 0.20, 0.398)]
    assert find_knee([128, 8, 64], per_user).place == 2


def test_of_equals_the_cheapest_is_the_best() -> None:
    same = users(0.3)
    found = find_knee([64, 8, 32], [same, same, same])
    assert (found.place, found.best) == (1, 1)


def test_the_tolerance_can_be_chosen() -> None:
    per_user = [users(mean) for mean in (0.30, 0.39, 0.40)]
    places = [find_knee([1, 2, 3], per_user, tolerance=share).place for share in (0, 0.03, 0.3)]
    assert places == [2, 1, 0]


def test_one_user_tells_nothing() -> None:
    found = find_knee([1, 2], [np.array([0.1]), np.array([0.9])])
    assert found.place == 0
    assert found.margin == np.inf


@given(
    st.lists(
        st.lists(st.floats(0, 1), min_size=3, max_size=3).map(np.array), min_size=1, max_size=6
    )
)
def test_nothing_cheaper_than_the_knee_is_as_good_as_the_best(per_user: list[np.ndarray]) -> None:
    found = find_knee(range(len(per_user)), per_user)
    best = per_user[found.best]
    assert best.mean() == max(values.mean() for values in per_user)
    for place, values in enumerate(per_user[: found.place + 1]):
        d = best - values
        is_noise = d.mean() - 1.959964 * d.std(ddof=1) / np.sqrt(3) <= 0
        is_small = d.mean() <= 0.01 * best.mean()
        assert (is_noise or is_small) == (place == found.place)


def test_candidates_that_cannot_be_compared_are_refused() -> None:
    with pytest.raises(DataError, match="on 3, 4 users"):
        find_knee([1, 2], [np.ones(3), np.ones(4)])
    with pytest.raises(DataError, match="0 candidates on no users"):
        find_knee([], [])
    with pytest.raises(DataError, match="1 costs and 2 candidates"):
        find_knee([1], [np.ones(3), np.ones(3)])


def test_the_knee_is_the_fewest_bytes_of_the_flat_part() -> None:
    flat = curve([0.2, 0.3, 0.398, 0.4, 0.4])
    knee = flat.points[flat.knee.place]
    assert (knee.factors, knee.storage) == (32, "int8")
    assert flat.verdict == (
        "knee: 32 factors in int8, 32.0 kB, 2.0 times smaller than the best (64 factors in int8); "
        "ndcg@20 -0.0020 ± 0.0000 (-0.5%)"
    )


def test_a_storage_that_loses_too_much_is_not_the_knee() -> None:
    lossy = curve([0.2, 0.3, 0.4, 0.4], lost_in_int8=0.1)
    knee = lossy.points[lossy.knee.place]
    assert (knee.factors, knee.storage) == (32, "float16")


def test_the_verdict_says_where_the_range_is_too_short() -> None:
    assert "a larger one may be better still" in curve([0.1, 0.2, 0.3]).verdict
    assert "a smaller one may do as well" in curve([0.3, 0.3, 0.3]).verdict
    assert "may" not in curve([0.2, 0.3, 0.3]).verdict
    assert "may" not in curve([0.3]).verdict  # one size is no range


def test_rows_mark_the_knee_and_the_best() -> None:
    marks = [row[""] for row in curve([0.2, 0.398, 0.4]).rows()]
    assert marks == ["", "", "", "", "", "<- knee", "", "", "best"]
