"""The dimension curve: measured on a small world, and read on curves with a known knee."""

import json
from dataclasses import dataclass
from typing import ClassVar

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.base.progress import OnStep
from recsys.errors import ConfigError
from recsys.evaluation import evaluate
from recsys.models import ALS, SVD, Popularity
from recsys.pages.curve import DimensionCurve
from recsys.selection import measure_dimensions, numbers_of_factors
from recsys.splits import split_random
from recsys.vectors import STORAGES, Embeddings, encode
from tests.pages.curves import curve
from tests.worlds import tastes

TRAIN, TEST = split_random(tastes(), test_fraction=0.3, seed=0)
N_ROWS = len(TRAIN.users) + len(TRAIN.items)


@pytest.fixture(scope="module")
def measured() -> DimensionCurve:
    points = measure_dimensions(ALS(iterations=3), TRAIN, TEST, [8, 2, 4, 2], k=5)
    return DimensionCurve("als", list(points))


def test_every_size_is_measured_once_in_every_storage(measured: DimensionCurve) -> None:
    sizes = [(point.factors, point.storage) for point in measured.points]
    assert sizes == [(factors, storage) for factors in (2, 4, 8) for storage in STORAGES]


def test_bytes_are_those_of_the_vectors(measured: DimensionCurve) -> None:
    for point in measured.points:
        expected = {
            "float32": 4 * point.factors,
            "float16": 2 * point.factors,
            "int8": point.factors + 4,
        }[point.storage]
        assert point.vector_bytes == expected
        assert point.n_bytes == expected * N_ROWS


def test_accuracy_is_that_of_the_decoded_vectors(measured: DimensionCurve) -> None:
    fitted = ALS(factors=4, iterations=3).fit(TRAIN.user_items())
    for point in measured.points:
        if point.factors == 4:
            users, items = (
                encode(matrix, point.storage).decode() for matrix in (fitted.users, fitted.items)
            )
            expected = evaluate(Embeddings(users, items), TRAIN, TEST, k=5)
            assert point.evaluation.metrics == expected.metrics


def test_times_are_measured_once_for_each_size(measured: DimensionCurve) -> None:
    for start in range(0, len(measured.points), len(STORAGES)):
        same = measured.points[start : start + len(STORAGES)]
        assert len({(point.train_seconds, point.query_microseconds) for point in same}) == 1
        assert same[0].train_seconds > 0
        assert same[0].query_microseconds > 0


def test_other_models_with_factors_have_a_curve_too() -> None:
    points = list(measure_dimensions(SVD(), TRAIN, TEST, [100], k=5))
    assert [point.factors for point in points] == [100] * 3  # more than the rank of the matrix


@dataclass(frozen=True)
class Recorded:
    """A model that writes down its fits."""

    name: ClassVar[str] = "recorded"
    fits: ClassVar[list[tuple[int, int]]] = []
    factors: int = 1

    def fit(self, user_items: sp.csr_array, on_step: OnStep | None = None) -> Embeddings:
        self.fits.append((self.factors, user_items.shape[0]))
        n_users, n_items = user_items.shape
        return Embeddings(
            np.ones((n_users, self.factors), dtype=np.float32),
            np.ones((n_items, self.factors), dtype=np.float32),
        )

    fold_in = ALS.fold_in


def test_points_come_as_they_are_measured() -> None:
    points = measure_dimensions(Recorded(), TRAIN, TEST, [16, 2], k=5)
    next(points)
    n_users = len(TRAIN.users)
    assert Recorded.fits[-1] == (2, n_users)  # what stops here has lost nothing
    assert [point.factors for point in points] == [2, 2, 16, 16, 16]
    assert Recorded.fits[-1] == (16, n_users)


def test_a_model_without_factors_is_refused() -> None:
    with pytest.raises(ConfigError, match="als or svd, got popularity"):
        next(measure_dimensions(Popularity(), TRAIN, TEST, [2]))


def test_a_wrong_number_is_found_before_the_first_fit() -> None:
    with pytest.raises(ConfigError, match="als.factors"):
        next(measure_dimensions(ALS(), TRAIN, TEST, [4, 0]))


# --- reading a curve --------------------------------------------------------------------------


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


def test_json_holds_all_that_was_measured(measured: DimensionCurve) -> None:
    plain = json.loads(json.dumps(measured.to_dict(), allow_nan=False))
    assert plain["metric"] == "ndcg@5"
    assert len(plain["points"]) == 9
    chosen = measured.points[measured.knee.place]
    assert plain["knee"] == {"factors": chosen.factors, "storage": chosen.storage}
    first = plain["points"][0]
    assert first["n_bytes"] == measured.points[0].n_bytes
    assert first["metrics"] == measured.points[0].evaluation.metrics


def test_numbers_of_factors() -> None:
    assert numbers_of_factors("16, 32,64,") == [16, 32, 64]
    for wrong in ("", ",", "16;32", "0", "-8", "1.5", "many"):
        with pytest.raises(ConfigError, match="separated by commas"):
            numbers_of_factors(wrong)
