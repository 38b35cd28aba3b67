"""Parts of a score sum to it, for users that were trained and for histories that come along."""

from pathlib import Path

import pytest

from recsys.errors import UnknownItemError, UnknownUserError
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
