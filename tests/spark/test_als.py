"""ALS on Spark is ALS: the same vectors, by broadcast and in blocks, in one go and in two."""

from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from recsys.base.errors import ConfigError, DataError
from recsys.models import ALS
from recsys.models.protocol import Epoch
from recsys.spark.als import fit
from tests.spark.worlds import spark_log
from tests.worlds import random_user_items

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ALL_EXPONENTS = ALS(
    factors=8,
    iterations=4,
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


@pytest.mark.parametrize("broadcast_bytes", [1 << 20, 0], ids=["broadcast", "in blocks"])
def test_agrees_with_one_machine(
    spark: "SparkSession", tmp_path: Path, broadcast_bytes: int
) -> None:
    ours, theirs = [], []
    expected = ALL_EXPONENTS.fit(WORLD, on_epoch=lambda epoch: theirs.append(epoch.loss))
    found = fit(
        ALL_EXPONENTS,
        spark_log(spark, WORLD),
        tmp_path,
        spark=spark,
        broadcast_bytes=broadcast_bytes,
        on_epoch=lambda epoch: ours.append(epoch.loss),
    ).embeddings()
    # What is broadcast takes the same steps in the same order; sums of blocks round otherwise.
    tolerance = 1e-6 if broadcast_bytes else 1e-3
    np.testing.assert_allclose(found.users, expected.users, atol=tolerance)
    np.testing.assert_allclose(found.items, expected.items, atol=tolerance)
    np.testing.assert_allclose(ours, theirs, rtol=1e-5)


def test_goes_on_where_it_stopped(spark: "SparkSession", tmp_path: Path) -> None:
    als, log = ALS(factors=8, iterations=3), spark_log(spark, WORLD)
    epochs: list[int] = []

    def stop_after_two(epoch: Epoch) -> None:
        epochs.append(epoch.number)
        if epoch.number == 2:
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        fit(als, log, tmp_path, spark=spark, broadcast_bytes=0, on_epoch=stop_after_two)
    found = fit(
        als,
        log,
        tmp_path,
        spark=spark,
        broadcast_bytes=0,
        on_epoch=lambda epoch: epochs.append(epoch.number),
    ).embeddings()
    assert epochs == [1, 2, 3]
    np.testing.assert_allclose(found.users, als.fit(WORLD).users, atol=1e-3)
    with pytest.raises(DataError, match="name another folder"):
        fit(als.with_factors(4), log, tmp_path, spark=spark)
    other = ALS(factors=4, iterations=1)
    anew = fit(other, log, tmp_path, spark=spark, replace=True).embeddings()
    np.testing.assert_allclose(anew.users, other.fit(WORLD).users, atol=1e-6)


def test_the_order_of_histories_is_not_known(spark: "SparkSession", tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="als.recency: expected 0 on Spark"):
        fit(ALS(recency=0.5), spark_log(spark, WORLD), tmp_path, spark=spark)
