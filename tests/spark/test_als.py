"""ALS on Spark is ALS: the same vectors, by broadcast and in blocks, in one go and in two."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recsys.base.errors import ConfigError, DataError
from recsys.models import ALS
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
    # Sums over blocks round otherwise than sums over all rows, and so do halves after them.
    np.testing.assert_allclose(found.users, expected.users, atol=1e-3)
    np.testing.assert_allclose(found.items, expected.items, atol=1e-3)


def test_the_order_of_histories_is_not_known(spark: "SparkSession", tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="als.recency: expected 0 on Spark"):
        fit(ALS(recency=0.5), spark_log(spark, WORLD), tmp_path, spark=spark)
