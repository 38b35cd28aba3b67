"""What a comparison advises: the best with vectors, how sure that is, and what is lost."""

from dataclasses import replace

import pytest

from recsys.evaluation import ComparedModel, Evaluation, evaluate
from recsys.models import ALS, Popularity
from recsys.splits import split_random
from recsys.tuning import advise, loss_sentence
from recsys.tuning.candidates import Candidate, with_a_chance
from tests.worlds import tastes

METRIC = "ndcg@10"
TRAIN, TEST = split_random(tastes(n_users=240), test_fraction=0.3, seed=0)
GOOD = evaluate(ALS(factors=4).fit(TRAIN.user_items()), TRAIN, TEST, k=10)
POPULAR = evaluate(Popularity().fit(TRAIN.user_items()), TRAIN, TEST, k=10)


def compared(evaluation: Evaluation, model: str, *, seconds: float = 1.0, **more) -> ComparedModel:
    return ComparedModel([evaluation], seconds=seconds, n_bytes=1_000_000, model=model, **more)


def worse(evaluation: Evaluation, share: float) -> Evaluation:
    """Return what reaches that share of an evaluation, for each user."""
    per_user = {name: share * values for name, values in evaluation.per_user.items()}
    metrics = {name: share * value for name, value in evaluation.metrics.items()}
    return replace(evaluation, per_user=per_user, metrics=metrics)


def test_the_best_with_vectors_is_advised_with_what_it_is_above() -> None:
    advice = advise(
        {
            "als": compared(GOOD, "als", parameters={"factors": 4}),
            "svd": compared(worse(GOOD, 0.8), "svd"),
            "popularity": compared(POPULAR, "popularity"),
        },
        METRIC,
    )
    assert advice is not None
    assert advice.sentences[0] == "Train als with 4 factors."
    assert f"{METRIC} {GOOD.metrics[METRIC]:.4f} on the {GOOD.n_users:,} users" in advice.why
    assert "25.0 % above svd, more than luck" in advice.why
    assert "above popularity, more than luck" in advice.why
    assert advice.options is None  # its hyperparameters are not the defaults
    assert advice.to_dict()["model"] == {"name": "als", "factors": 4}


def test_defaults_are_trained_by_an_option_and_a_choice_by_none() -> None:
    als = advise({"als": compared(GOOD, "als")}, METRIC)
    auto = advise({"auto": compared(GOOD, "als", parameters={"factors": 4})}, METRIC)
    assert als is not None
    assert auto is not None
    assert als.options == ["--model", "als"]
    assert auto.options == []
    assert "which chooses als with 4 factors" in auto.what


@pytest.mark.parametrize(
    ("share", "words"), [(0.97, "loses 3.0 % of ndcg@10, more than 2 %"), (1.1, "nothing")]
)
def test_what_a_scorer_loses_as_vectors_is_said(share: float, words: str) -> None:
    table = {
        "ease": compared(GOOD, "ease"),
        "ease (distilled)": compared(worse(GOOD, share), "distilled"),
        "popularity": compared(POPULAR, "popularity"),
    }
    assert words in loss_sentence(table, METRIC)
    advice = advise(table, METRIC)
    assert advice is not None
    assert advice.row == "ease (distilled)"  # the scorer itself cannot be published
    assert words in advice.beside


def test_a_loss_of_up_to_2_percent_is_not_called_more() -> None:
    table = {
        "knn": compared(GOOD, "knn"),
        "knn (distilled)": compared(worse(GOOD, 0.985), "distilled"),
    }
    assert loss_sentence(table, METRIC).endswith("knn loses 1.5 % of ndcg@10")


def test_what_is_as_good_in_less_time_is_named() -> None:
    table = {
        "softmax": compared(GOOD, "softmax", seconds=10.0),
        "svd": compared(GOOD, "svd", seconds=0.5),
    }
    advice = advise(table, METRIC)
    assert advice is not None
    assert "svd is as good" in advice.beside


def test_popularity_that_is_as_good_is_said() -> None:
    table = {"als": compared(GOOD, "als"), "popularity": compared(GOOD, "popularity")}
    advice = advise(table, METRIC)
    assert advice is not None
    assert "not better than popularity" in advice.beside


def test_too_few_users_are_said() -> None:
    few = {name: values[:20] for name, values in GOOD.per_user.items()}
    small = replace(GOOD, n_users=20, per_user=few, user_idx=GOOD.user_idx[:20])
    advice = advise({"als": compared(small, "als"), "svd": compared(small, "svd")}, METRIC)
    assert advice is not None
    assert advice.beside.startswith("Only 20 users were tested")


def test_without_vectors_there_is_nothing_to_advise() -> None:
    assert advise({"knn": compared(GOOD, "knn")}, METRIC) is None


def test_what_has_a_chance_is_left_out_where_it_takes_too_long() -> None:
    names, left_out = with_a_chance(600, 9_000)
    assert names == ["als", "svd", "softmax", "knn", "ease", "auto", "popularity"]
    assert not left_out
    for name in set(names) - {"auto"}:
        Candidate(name)
    large, left_out = with_a_chance(1_000_000, 200_000)
    assert list(left_out) == ["ease", "softmax"]
    assert set(large) == set(names) - set(left_out)
