"""A blend is the sum of its parts at their shares."""

from dataclasses import replace

import numpy as np
import pytest

from recsys.base.signed import liked
from recsys.config import settings_from
from recsys.errors import ConfigError
from recsys.models import ALS, SVD, Blend, Epoch, model_from, parameters_of
from tests.worlds import random_user_items

WORLD = random_user_items(60, 40, 0.15, seed=2)
BLEND = Blend(ALS(factors=5), SVD(factors=3), svd_share=0.3)


def mean_score_of_history(users: np.ndarray, items: np.ndarray) -> np.ndarray:
    W = WORLD.toarray()
    return (W * (users @ items.T)).sum(axis=1) / W.sum(axis=1)


def test_each_part_has_its_share_of_the_score_of_a_history() -> None:
    embeddings = BLEND.fit(WORLD)
    als = mean_score_of_history(embeddings.users[:, :5], embeddings.items[:, :5])
    svd = mean_score_of_history(embeddings.users[:, 5:], embeddings.items[:, 5:])
    np.testing.assert_allclose(als, 0.7, rtol=1e-4)
    np.testing.assert_allclose(svd, 0.3, rtol=1e-4)


@pytest.mark.parametrize("share", [0.0, 1.0])
def test_a_part_alone_ranks_as_it_does_by_itself(share: float) -> None:
    blended = replace(BLEND, svd_share=share).fit(WORLD).scores(slice(None))
    alone = (BLEND.svd if share else BLEND.als).fit(WORLD).scores(slice(None))
    ratio = blended / alone
    np.testing.assert_allclose(ratio, ratio[:, :1].repeat(40, axis=1), rtol=1e-2)


def test_it_can_be_stopped_at_an_epoch_of_its_als() -> None:
    epochs: list[Epoch] = []

    def stop_at_three(epoch: Epoch) -> bool:
        epochs.append(epoch)
        return epoch.number == 3

    stopped = BLEND.fit(WORLD, on_epoch=stop_at_three)
    short = replace(BLEND, als=replace(BLEND.als, iterations=3)).fit(WORLD)
    np.testing.assert_array_equal(stopped.items, short.items)
    np.testing.assert_array_equal(stopped.users, short.users)
    assert [epoch.number for epoch in epochs] == [1, 2, 3]
    np.testing.assert_array_equal(epochs[-1].embeddings().items, stopped.items)


def test_factors_are_shared_out_three_to_one() -> None:
    sizes = {n: BLEND.with_factors(n) for n in (1, 8, 64)}
    assert [(one.als.factors, one.svd.factors) for one in sizes.values()] == [
        (1, 1),
        (2, 6),
        (16, 48),
    ]


def test_a_config_names_the_parameters_of_both() -> None:
    tables = {"name": "blend", "svd_share": 0.3, "als": {"factors": 5}, "svd": {"factors": 3}}
    assert settings_from({"model": tables}).model == BLEND
    assert model_from("blend", parameters_of(BLEND)) == BLEND


@pytest.mark.parametrize(
    ("tables", "message"),
    [
        ({"svd_share": 1.5}, "blend.svd_share: expected 0 to 1, got 1.5"),
        ({"als": {"facters": 5}}, "model.als.facters: unknown key.*did you mean"),
        ({"als": {"factors": 0}}, "als.factors: expected 1 or more"),
    ],
)
def test_what_is_wrong_is_named(tables: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from({"model": {"name": "blend", **tables}})


def test_dislikes_of_a_matrix_reach_the_half_of_als_alone() -> None:
    signed = random_user_items(30, 20, 0.3)
    signed.data[::4] *= -1
    model = Blend(ALS(factors=4, iterations=2), SVD(factors=4))
    with_dislikes, without = (model.fit(one).items for one in (signed, liked(signed)))
    np.testing.assert_array_equal(with_dislikes[:, 4:], without[:, 4:])
    assert not np.allclose(with_dislikes[:, :4], without[:, :4])
