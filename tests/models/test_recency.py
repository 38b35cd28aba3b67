"""Worlds in which the order of a history decides, and every way a history comes."""

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from recsys.config import Settings
from recsys.errors import ConfigError, DataError
from recsys.evaluation import evaluate_held_out
from recsys.logs import Interactions
from recsys.models import ALS, KNN, SVD, Blend, Distilled, popularity_of
from recsys.models.protocol import mean_weight_of, takes_order
from recsys.serving import open as open_store
from recsys.splits import split_users
from recsys.store import publish
from recsys.training import release_of, spec_of
from recsys.vectors import Ids, top_k
from tests.worlds import START

N_TASTES, OF_TASTE = 4, 8

MODELS = [
    ALS(factors=8, recency=2.0, regularization=0.1, weight_exponent=1.0),
    SVD(factors=8, recency=3.0),
    SVD(factors=8, recency=3.0, window=3),
    Distilled(factors=8, recency=3.0, iterations=12),
    Distilled(factors=8, recency=3.0, iterations=12, teacher=SVD(factors=8, recency=3.0, window=3)),
    Blend(ALS(factors=4, recency=2.0), SVD(factors=4, recency=2.0)),
    Blend(ALS(factors=4, recency=2.0), SVD(factors=4, recency=2.0), scale="deviation"),
]


def changed_tastes(
    n_users: int = 96, per_taste: Sequence[int] = (5, 3), seed: int = 0
) -> Interactions:
    """Users who took five items of one taste, then three of another; rows are in random order."""
    rng = np.random.default_rng(seed)
    events = []
    for user in range(n_users):
        items: list[int] = []
        for taste, n in zip(rng.choice(N_TASTES, len(per_taste), False), per_taste, strict=True):
            items += [*rng.choice(OF_TASTE, n, False) + OF_TASTE * taste]
        events += [(user, item, START + 60 * place) for place, item in enumerate(items)]
    user, item, time = rng.permutation(np.array(events, dtype=np.int64)).T
    return Interactions(
        user.astype(np.int32),
        item.astype(np.int32),
        np.full(len(events), 3, dtype=np.float32),
        time,
        Ids([f"u{row}" for row in range(n_users)]),
        Ids([f"i{row}" for row in range(N_TASTES * OF_TASTE)]),
    )


def newest_tastes(log: Interactions) -> np.ndarray:
    """The taste of the last item of each user."""
    order = np.lexsort((log.timestamp, log.user_idx))
    return log.item_idx[order].reshape(len(log.users), -1)[:, -1] // OF_TASTE


def share_of_newest(scores: np.ndarray, log: Interactions) -> float:
    """The share of unseen items in first place that are of the newest taste."""
    scores = np.where(log.user_items().toarray() > 0, -np.inf, scores).astype(np.float32)
    return float((top_k(scores, 1)[0][:, 0] // OF_TASTE == newest_tastes(log)).mean())


@pytest.mark.parametrize("model", [*MODELS, KNN(recency=3.0)], ids=repr)
def test_the_newest_taste_comes_first(model) -> None:
    log = changed_tastes()
    assert share_of_newest(model.fit(log).scores(slice(None)), log) > 0.9
    assert share_of_newest(SVD(factors=8).fit(log).scores(slice(None)), log) < 0.5


def test_a_window_finds_what_whole_histories_hide() -> None:
    """Everybody takes half of every taste, one taste after the other: only neighbours are alike."""
    log = changed_tastes(per_taste=[4, 4, 4, 4])
    found = [
        share_of_newest(model.fit(log).scores(slice(None)), log)
        for model in (
            SVD(factors=6, recency=3.0),
            SVD(factors=6, recency=3.0, window=3, window_weight=2.0),
        )
    ]
    assert found[0] < 0.3
    assert found[1] > 0.9


@pytest.mark.parametrize("model", MODELS, ids=repr)
def test_what_is_folded_in_is_the_stored_row(model) -> None:
    log = changed_tastes()
    found, plain = model.fit(log), log.user_items()
    assert takes_order(model)
    embed = model.fold_in(found.items, popularity_of(plain), mean_weight_of(plain), found.summands)
    folded = embed(log.user_items(model.recency))
    np.testing.assert_allclose(folded, found.users, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("model", MODELS[:4], ids=repr)
def test_a_history_that_is_served_in_order_is_the_users(tmp_path: Path, model) -> None:
    log = changed_tastes()
    settings = Settings(model=model)
    release = release_of(
        log, log.user_items(), model.fit(log), settings, metrics={}, model=spec_of(model)
    )
    publish(tmp_path, release)
    recommender = open_store(tmp_path)
    order = np.lexsort((log.timestamp, log.user_idx))
    history = log.items.tolist(log.item_idx[order][:8])  # of the first user
    personal = [tuple(one) for one in recommender.recommend("u0", 5)]
    for found in (
        recommender.recommend_for_history(history, 5),
        recommender.recommend_many(["nobody"], 5, histories=[history])[0],
    ):
        assert [one for one, _ in found] == [one for one, _ in personal]
        np.testing.assert_allclose(
            [score for _, score in found], [score for _, score in personal], rtol=1e-4
        )
    backwards = recommender.recommend_for_history(history[::-1], 5)
    assert [one for one, _ in backwards] != [one for one, _ in personal]
    for why in (
        recommender.explain("u0", personal[0][0]),
        recommender.explain_for_history(history, personal[0][0]),
    ):
        assert why.score == pytest.approx(personal[0][1], rel=1e-4)
        assert sum(added for _, added in why.contributions) == pytest.approx(why.score, rel=1e-3)


def test_held_out_users_are_embedded_by_the_order_of_their_history() -> None:
    held_out = split_users(changed_tastes(300), user_fraction=0.3, test_fraction=0.2)
    reached = {
        recency: evaluate_held_out(SVD(factors=8, recency=recency), held_out, k=1).metrics
        for recency in (0.0, 1.0)
    }
    assert reached[1.0]["ndcg@1"] != reached[0.0]["ndcg@1"]


@pytest.mark.parametrize("model", [*MODELS, KNN(recency=1.0), SVD(window=2)], ids=repr)
def test_a_matrix_has_no_order(model) -> None:
    with pytest.raises(DataError, match="expected the log, as .* asks for the order of histories"):
        model.fit(changed_tastes().user_items())


def test_a_blend_has_one_recency() -> None:
    with pytest.raises(ConfigError, match=r"one recency.*als.recency = 1 and svd.recency = 0"):
        Blend(ALS(recency=1.0))


def test_a_window_has_no_mean_user() -> None:
    with pytest.raises(ConfigError, match="expected a window or centered, got both"):
        SVD(window=3, centered=True)
