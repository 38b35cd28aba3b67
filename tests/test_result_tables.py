"""What results show of themselves, and what they give to other packages: one table each."""

from pathlib import Path

import numpy as np
import polars as pl
import pytest

import recsys
from recsys.base.tables import Tabular
from recsys.evaluation import ComparedModel, DimensionCurve, by_activity
from recsys.selection import measure_dimensions
from recsys.splits import split_random
from recsys.store import publish
from recsys.tuning import Choice, Compared, Trial, Tried, Tuned
from recsys.tuning.candidates import Candidate
from tests.store.releases import small_release
from tests.worlds import tastes

LOG = tastes()
TRAIN, TEST = split_random(LOG, test_fraction=0.3, seed=0)


def evaluated(model: recsys.models.Model) -> recsys.Evaluation:
    return recsys.evaluate(model.fit(TRAIN), TRAIN, TEST, k=5)


@pytest.fixture(scope="module")
def results() -> dict[str, recsys.Evaluation]:
    return {"svd": evaluated(recsys.SVD(4)), "popularity": evaluated(recsys.Popularity())}


@pytest.fixture(scope="module")
def compared(results: dict[str, recsys.Evaluation]) -> Compared:
    models = {name: ComparedModel([one], 0.5, 100) for name, one in results.items()}
    return Compared(models, "popularity", "ndcg@5")


def test_an_evaluation_is_a_row_for_each_metric(results: dict[str, recsys.Evaluation]) -> None:
    one = results["svd"]
    frame = one.to_pandas().set_index("metric")
    assert frame["value"].to_dict() == one.metrics
    assert tuple(frame.loc["ndcg@5", ["low", "high"]]) == one.intervals["ndcg@5"]
    assert np.isnan(frame.loc["coverage@5", "low"])
    assert repr(one).splitlines()[1].split() == ["metric", "value", "low", "high"]
    assert f"ndcg@5 {one.metrics['ndcg@5']:.4f}" in one.caption()


def test_folds_have_a_column_each() -> None:
    folds = recsys.evaluate_folds(recsys.SVD(4), recsys.split_folds(LOG, 2), k=5)
    (row,) = folds.to_polars().filter(metric="ndcg@5").to_dicts()
    assert row["mean"] == folds.means["ndcg@5"]
    assert (row["fold 1"], row["fold 2"]) == tuple(folds.values("ndcg@5"))


def test_compared_models_come_best_first_with_their_differences(compared: Compared) -> None:
    rows = compared.to_arrow().to_pylist()
    values = [row["ndcg@5"] for row in rows]
    assert values == sorted(values, reverse=True)
    assert rows[0]["model"] == compared.best == "svd"
    assert rows[0]["difference"] == pytest.approx(values[0] - values[1])
    assert rows[0]["difference_low"] <= rows[0]["difference"] <= rows[0]["difference_high"]
    assert rows[1]["difference"] is None
    assert compared.to_polars().schema["tuning_seconds"] == pl.Float64
    assert list(compared) == ["svd", "popularity"]
    with pytest.raises(recsys.DataError, match=r"expected one of svd, popularity, got 'sdv'"):
        compared["sdv"]


def test_trials_are_rows_with_their_hyperparameters() -> None:
    trials = [
        Trial(Candidate("als", {"factors": 8, "regularization": value}), value, False, 1.0)
        for value in (0.1, 0.3, 0.2)
    ]
    tuned = Tuned(trials[1], {8: trials}, "ndcg@5")
    frame = tuned.to_pandas()
    assert frame["ndcg@5"].tolist() == frame["regularization"].tolist() == [0.1, 0.3, 0.2]
    assert frame["is_best"].tolist() == [False, True, False]
    assert tuned.model == recsys.ALS(factors=8, regularization=0.3)


def test_a_curve_marks_its_knee() -> None:
    points = list(measure_dimensions(recsys.SVD(), TRAIN, TEST, [2, 4], k=5))
    curve = DimensionCurve("svd", points)
    frame = curve.to_pandas()
    assert frame["factors"].tolist() == [2, 2, 2, 4, 4, 4]
    assert frame.index[frame["is_knee"]].tolist() == [curve.knee.place]
    assert frame["ndcg@5"].tolist() == [point.accuracy("ndcg")[0] for point in points]


def test_versions_vectors_and_drift_are_tables(tmp_path: Path) -> None:
    older, newer = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    assert len(repr(newer.manifest)) < 120
    listed = recsys.versions(tmp_path)
    assert listed == [newer, older]
    frame = listed.to_pandas()
    assert frame["version"].tolist() == [newer.name, older.name]
    assert frame["current"].tolist() == [True, False]
    assert newer.name in repr(listed)
    assert newer.name in newer._repr_html_()

    report = recsys.drift_between(tmp_path, older.name)
    assert (report.a, report.b) == (older.name, newer.name)
    rows = report.to_arrow().to_pylist()
    assert [row["measure"] for row in rows] == [check.name for check in report.checks]

    vectors = recsys.open(tmp_path).item_vectors
    frame = vectors.to_pandas()
    assert frame["item_id"].tolist() == list(vectors)
    assert np.array_equal(np.stack(frame["embedding"].tolist()), vectors.matrix)


def test_lists_of_many_users_have_titles(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    batch = recsys.open(tmp_path).recommend_many(["u1", "u3"], k=3)
    frame = batch.to_pandas()
    assert frame["title"].tolist() == [f"Title {item_id[1:]}" for item_id in frame["item_id"]]
    assert frame["user_id"].tolist() == ["u1"] * 3 + ["u3"] * 3
    assert frame.drop(columns="title").equals(batch.to_table().to_pandas())


def test_similar_users_are_users_in_the_table(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    recommender = recsys.open(tmp_path)
    found = recommender.similar_users("u1", k=3)
    assert found.to_pandas()["user_id"].tolist() == [one.item_id for one in found]
    assert found.caption().startswith("3 users")
    assert "item_id" in recommender.similar_items("i1", k=3).to_pandas()


def test_a_log_is_a_row_for_each_event() -> None:
    frame = LOG.to_polars()
    assert len(frame) == len(LOG)
    assert frame["item_id"].to_list()[:3] == [LOG.items[row] for row in LOG.item_idx[:3].tolist()]
    again = recsys.read_log(frame)
    assert len(again) == len(LOG)
    assert sorted(again.users.tolist()) == sorted(LOG.users.tolist())


def test_reprs_are_short_and_html_is_a_table(
    results: dict[str, recsys.Evaluation], compared: Compared
) -> None:
    assert repr(recsys.Settings()) == "Settings()"
    settings = recsys.Settings(model=recsys.Popularity(), index=recsys.IndexSettings(kind="exact"))
    assert repr(settings) == "Settings(model=Popularity(), index=IndexSettings(kind='exact'))"
    shown: list[Tabular] = [results["svd"], compared, LOG]
    for one in shown:
        assert max(map(len, repr(one).splitlines())) <= 80
        assert "<table" in one._repr_html_()


def test_lists_of_rows_are_tables(
    compared: Compared, results: dict[str, recsys.Evaluation]
) -> None:
    found = recsys.evaluation.compare(results, "popularity", "ndcg@5")
    (row,) = found.to_arrow().to_pylist()
    assert (row["low"], row["high"]) == found[0].interval
    assert row["p_value"] == compared.comparisons["svd"].p_value
    groups = by_activity(results["svd"], "ndcg@5", 2, results["popularity"])
    assert groups.to_pandas()["difference"].tolist() == [one.difference for one in groups]
    vectors, _ = recsys.named_vectors(recsys.SVD(4).fit(LOG), LOG.users, LOG.items)
    near = vectors.nearest("u5", k=3)
    assert near.to_pandas()["id"].tolist() == [one.id for one in near]


def test_the_fits_of_a_choice_are_a_table() -> None:
    tried = tuple(Tried("svd", {"factors": n, "recency": 0.0}, n / 10, 1.0) for n in (1, 2))
    choice = Choice("svd", tried[1].parameters, "ndcg@5", 60, tried)
    frame = choice.to_pandas()
    assert frame["ndcg@5"].tolist() == [0.1, 0.2]
    assert frame["is_chosen"].tolist() == [False, True]
    assert choice.caption().startswith("model: svd, 2 factors, ndcg@5 0.2000")


def test_what_a_notebook_plots_are_the_numbers_of_the_table(
    tmp_path: Path, compared: Compared, results: dict[str, recsys.Evaluation]
) -> None:
    one = results["svd"]
    (plot,) = one.charts()
    dots = {dot.name: dot for dot in plot.dots}
    assert dots["ndcg@5"].value == one.metrics["ndcg@5"]
    assert dots["ndcg@5"].interval == one.intervals["ndcg@5"]
    assert "novelty@5" not in dots  # it is no share

    (plot,) = compared.charts()
    assert [(dot.name, dot.is_marked) for dot in plot.dots] == [
        ("svd", True),
        ("popularity", False),
    ]
    assert plot.reference == results["popularity"].metrics["ndcg@5"]

    groups = by_activity(one, "ndcg@5", 2, results["popularity"])
    reached, above = groups.charts()
    assert [dot.value for dot in reached.dots] == [group.value for group in groups]
    assert [dot.interval for dot in above.dots] == [group.difference_interval for group in groups]

    found = recsys.evaluation.compare(results, "popularity", "ndcg@5")
    assert found.charts()[0].dots[0].interval == found[0].interval

    older, newer = (publish(tmp_path, small_release(seed=seed)) for seed in range(2))
    (nights,) = recsys.versions(tmp_path).charts()
    assert len(nights.places or ()) == len([older, newer])
    assert ([*nights.lines[0].y], nights.lines[0].intervals[0]) == ([0.5, 0.5], (0.4, 0.6))
    (measures,) = recsys.drift_between(tmp_path).charts()
    assert all(dot.value <= 3 for dot in measures.dots)
    assert [dot.is_marked for dot in measures.dots] == [dot.value > 1 for dot in measures.dots]


def test_a_curve_trials_and_folds_are_plotted() -> None:
    points = list(measure_dimensions(recsys.SVD(), TRAIN, TEST, [2, 4], k=5))
    curve = DimensionCurve("svd", points)
    (plot,) = curve.charts()
    assert [line.name for line in plot.lines] == ["float32", "float16", "int8"]
    assert [*plot.lines[0].x] == [2, 4]
    assert plot.marks[0].x == curve.points[curve.knee.place].factors
    assert DimensionCurve("svd", points[:1]).charts() == []

    trials = [
        Trial(Candidate("als", {"factors": size}), value, False, 1.0)
        for size, value in ((8, 0.1), (8, 0.2), (16, 0.3))
    ]
    (plot,) = Tuned(trials[2], {8: trials[:2], 16: trials[2:]}, "ndcg@5").charts()
    assert [[*line.x] for line in plot.lines] == [[1, 2], [3]]
    assert (plot.marks[0].x, plot.marks[0].y) == (3, 0.3)

    tried = tuple(Tried("als", {"factors": size}, size / 100, 1.0) for size in (8, 16))
    (plot,) = Choice("als", {"factors": 16}, "ndcg@5", 100, tried).charts()
    assert (plot.marks[0].x, [*plot.lines[0].y]) == (2, [0.08, 0.16])

    folds = recsys.evaluate_folds(recsys.SVD(4), recsys.split_folds(LOG, 2), k=5)
    (plot,) = folds.charts()
    assert {dot.name: dot.value for dot in plot.dots}["ndcg@5"] == folds.means["ndcg@5"]
