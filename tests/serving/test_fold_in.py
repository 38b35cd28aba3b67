"""Parts of a score sum to it, for users that were trained and for histories that come along."""

import json
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import DataError, RecsysError, UnknownItemError, UnknownUserError
from recsys.models import ALS, SVD, Item2Vec
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.store import publish
from tests.serving.test_recommender import trained
from tests.store.releases import small_release
from tests.worlds import tastes


def served(folder: Path, model) -> Recommender:
    publish(folder, trained(model, tastes()))
    return open_store(folder)


@pytest.mark.parametrize(
    "model", [ALS(factors=6), SVD(factors=6), Item2Vec(factors=6)], ids=lambda model: model.name
)
def test_the_contributions_of_a_users_items_sum_to_the_score(tmp_path: Path, model) -> None:
    recommender = served(tmp_path, model)
    for user in ("u0", "u7", "u59"):
        for item_id, score in recommender.recommend(user, 5):
            why = recommender.explain(user, item_id)
            assert (why.item_id, why.source) == (item_id, "personal")
            assert why.score == pytest.approx(score, rel=1e-4, abs=1e-6)
            assert sum(added for _, added in why.contributions) + why.rest == pytest.approx(
                why.score
            )
            assert why.rest == pytest.approx(0, abs=1e-3 * max(abs(score), 0.01))
            parts = [added for _, added in why.contributions]
            assert parts == sorted(parts, reverse=True)
            assert why.to_dict()["score"] == why.score


def test_a_folded_in_history_is_explained_like_a_user(tmp_path: Path) -> None:
    log = tastes()
    recommender = served(tmp_path, ALS(factors=6))
    row = log.user_items()[[7]]
    history = [f"i{item}" for item in row.indices]
    why = recommender.explain_for_history(history, "i3", weights=row.data.tolist())
    assert why.source == "fold_in"
    expected = recommender.explain("u7", "i3")
    assert dict(why.contributions) == pytest.approx(
        dict(expected.contributions), rel=1e-3, abs=1e-5
    )


def test_items_of_ones_own_taste_speak_for_an_item(tmp_path: Path) -> None:
    recommender = served(tmp_path, ALS(factors=6))
    best = recommender.recommend("u0", 1)[0].item_id
    why = recommender.explain("u0", best)
    assert why.contributions[0].score > 0
    assert why.parts == why.contributions  # the name in the README
    assert why.contributions[0].item_id in [f"i{row}" for row in tastes().user_items()[[0]].indices]


def test_who_or_what_is_not_known_is_not_explained(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    recommender = open_store(tmp_path)
    with pytest.raises(UnknownUserError):
        recommender.explain("nobody", "i1")
    with pytest.raises(UnknownItemError):
        recommender.explain("u1", "nothing")
    with pytest.raises(UnknownItemError):
        recommender.explain_for_history(["i1", "nothing"], "i2")


@pytest.mark.parametrize(
    "model", [ALS(factors=6), SVD(factors=6), Item2Vec(factors=6)], ids=lambda model: model.name
)
def test_many_histories_are_folded_in_as_single_ones(tmp_path: Path, model) -> None:
    recommender = served(tmp_path, model)
    users = ["u0", "new1", "new2", "new3", "u7", "new4"]
    histories = [["i1"], ["i3", "i3", "i9"], None, ["not there"], None, ["i2", "not there"]]
    for include_seen in (False, True):
        asked = {"include_seen": include_seen, "exclude": ["i5"]}
        batch = recommender.recommend_many(users, 4, histories=histories, **asked)
        for user, history, found in zip(users, histories, batch, strict=True):
            single = recommender.recommend(user, 4, history=history, **asked)
            assert found.source == single.source
            assert [item for item, _ in found] == [item for item, _ in single]
            scores = [score for _, score in single]
            assert [score for _, score in found] == pytest.approx(scores, rel=1e-4, abs=1e-6)
    sources = batch.to_table()["source"].to_pylist()
    assert sources[::4] == ["personal", "fold_in", "popular", "popular", "personal", "fold_in"]


@pytest.mark.parametrize(
    ("histories", "message"),
    [
        ([["i1"]], "histories: expected one for each of 2 users, got 1"),
        (5, "histories: expected a list for each of 2 users, got 5"),
        (["i1", "i2"], "histories: expected a list of ids, got 'i1'"),
        ([[None], []], "histories: expected a string or an integer, got None"),
    ],
)
def test_histories_that_cannot_be_used(tmp_path: Path, histories, message: str) -> None:
    publish(tmp_path, small_release())
    with pytest.raises(DataError, match=message):
        open_store(tmp_path).recommend_many(["a", "b"], 3, histories=histories)


@pytest.mark.parametrize("scale", [2e-6, 1e-3, 1.0, 1e3, 4e5])
def test_weights_of_any_scale_give_the_exact_solution(tmp_path: Path, scale: float) -> None:
    """By a solve of the normal equations in float64."""
    model = ALS(factors=6, regularization=0.5)
    recommender = served(tmp_path, model)
    items = recommender.item_vectors.matrix.astype(np.float64)
    history = [3, 9, 27]
    weights = np.array([1.0, 0.5, 2.0]) * scale
    chosen = items[history]
    weight = weights.sum() ** model.regularization_exponent
    system = model.unobserved_weight * items.T @ items + chosen.T @ (weights[:, None] * chosen)
    system += model.regularization * weight * np.eye(6)
    scores = items @ np.linalg.solve(system, chosen.T @ weights)
    found = recommender.recommend_for_history(
        [f"i{row}" for row in history], 10, weights=weights.tolist(), include_seen=True
    )
    assert found.source == "fold_in"
    largest = np.abs(scores).max()
    for item_id, score in found:
        assert score == pytest.approx(scores[int(str(item_id)[1:])], abs=2e-3 * largest)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("value", [3e38, 1e18, np.nan])
def test_items_that_no_history_can_be_folded_into_are_an_error_of_ours(
    tmp_path: Path, value: float
) -> None:
    """As a flipped bit of a mapped matrix makes them, which no checksum finds when it is opened."""
    publish(tmp_path, small_release())
    recommender = open_store(tmp_path)
    recommender.item_vectors.matrix[:] = value
    for ask in (
        lambda: recommender.recommend_for_history(["i1", "i2"], 3),
        lambda: recommender.explain("u1", "i2"),
    ):
        with suppress(RecsysError), np.errstate(all="ignore"):
            json.dumps(ask().to_dict(), allow_nan=False)
