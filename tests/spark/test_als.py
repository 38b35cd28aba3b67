"""ALS on Spark is ALS: the same vectors, by broadcast and in blocks, in one go and in two."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recsys.base.errors import ConfigError, DataError
from recsys.base.threads import threads
from recsys.models import ALS
from recsys.models.als import rounding
from recsys.models.als.gram import gram
from recsys.models.als.sweep import padded
from recsys.models.protocol import Epoch, OnEpoch
from recsys.spark.als import SparkFit, fit
from tests.spark.worlds import spark_log
from tests.worlds import random_user_items

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ALL_EXPONENTS = ALS(
    factors=8,
    iterations=3,  # of which the last ends in a basis of both sides
    regularization_exponent=0.7,
    unobserved_regularization=0.5,
    weight_exponent=0.7,
    user_exponent=0.3,
    item_exponent=0.2,
    unobserved_exponent=0.1,
    seed=3,
)
pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
WORLD = random_user_items(60, 40, 0.15)


def test_agrees_with_one_machine(spark: "SparkSession", tmp_path: Path) -> None:
    ours, theirs = [], []
    expected = ALL_EXPONENTS.fit(WORLD, on_epoch=lambda epoch: theirs.append(epoch.loss))
    log = spark_log(spark, WORLD)
    found = fit(
        ALL_EXPONENTS, log, tmp_path, spark=spark, on_epoch=lambda epoch: ours.append(epoch.loss)
    ).embeddings()
    # What is broadcast takes the same steps in the same order.
    np.testing.assert_allclose(found.users, expected.users, atol=1e-6)
    np.testing.assert_allclose(found.items, expected.items, atol=1e-6)
    np.testing.assert_allclose(ours, theirs, rtol=1e-6)
    with pytest.raises(DataError, match="name another folder"):
        fit(ALL_EXPONENTS.with_factors(4), log, tmp_path, spark=spark)


def test_vectors_in_blocks_go_on_where_a_fit_stopped(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.spark.half_sweep._MOST_AT_DRIVER", 1)  # sums are made in a tree
    log = spark_log(spark, WORLD)
    fit(ALS(factors=4, iterations=1), log, tmp_path, spark=spark)  # which the next one replaces
    epochs: list[int] = []

    def stop(epoch: Epoch) -> None:
        epochs.append(epoch.number)
        raise KeyboardInterrupt

    def in_blocks(on_epoch: OnEpoch) -> SparkFit:
        return fit(
            ALL_EXPONENTS,
            log,
            tmp_path,
            spark=spark,
            broadcast_bytes=0,
            on_epoch=on_epoch,
            replace=True,
        )

    with pytest.raises(KeyboardInterrupt):
        in_blocks(stop)
    found = in_blocks(lambda epoch: epochs.append(epoch.number)).embeddings()
    assert epochs == [1, 2, 3]
    expected = ALL_EXPONENTS.fit(WORLD)
    # So few rows are not cut at whole chunks: sums round otherwise, and so do halves after them.
    np.testing.assert_allclose(found.users, expected.users, atol=1e-3)
    np.testing.assert_allclose(found.items, expected.items, atol=1e-3)


def test_users_in_blocks_have_the_bits_of_one_machine(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(rounding, "_CACHED", 1 << 20)  # bytes: only users are whole numbers
    world = random_user_items(70_000, 40, 0.05)  # two blocks of whole chunks
    user = np.repeat(np.arange(70_000), np.diff(world.indptr))
    world.data *= (10 ** (-8 * user / 70_000)).astype(np.float32)  # else their sums are exact
    als = ALS(factors=8, iterations=4)  # the last in a basis of both sides
    few = 1 << 20  # bytes: items are sent whole, users are not
    log = spark_log(spark, world)
    found = fit(als, log, tmp_path, spark=spark, broadcast_bytes=few)
    assert not found.users.is_whole
    assert len(found.users.cut) > 1
    assert found.items.is_whole
    expected = als.fit(world)
    users = found.embeddings().users
    np.testing.assert_array_equal(users, expected.users)
    np.testing.assert_array_equal(found.embeddings().items, expected.items)
    assert found.users.sums is not None
    with threads() as pool:
        whole = gram(padded(users), np.ones(len(users), dtype=np.float32), pool)
    np.testing.assert_array_equal(found.users.sums.gram, whole)


def test_the_order_of_histories_is_not_known(spark: "SparkSession", tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="als.recency: expected 0 on Spark"):
        fit(ALS(recency=0.5), spark_log(spark, WORLD), tmp_path, spark=spark)
