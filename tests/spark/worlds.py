"""Logs on Spark that are made of matrices, and fitted by both engines."""

from typing import TYPE_CHECKING

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from recsys.logs.row_counts import RowCounts
from recsys.models.protocol import popularity_of
from recsys.spark.log import SparkLog

if TYPE_CHECKING:
    from pyspark.sql import SparkSession


def spark_log(spark: "SparkSession", user_items: sp.csr_array) -> SparkLog:
    """A log of users ``u0..`` and items ``i0..`` with these weights."""
    entries = sp.coo_array(user_items)
    order = np.random.default_rng(0).permutation(entries.nnz)  # pairs come in any order
    n_users, n_items = user_items.shape
    pairs = pa.table(
        {
            "user_idx": entries.row[order].astype(np.int32),
            "item_idx": entries.col[order].astype(np.int32),
            "weight": entries.data[order].astype(np.float32),
        }
    )
    users = pa.table(
        {
            "user_idx": pa.array(range(n_users), pa.int32()),
            "user_id": [f"u{row}" for row in range(n_users)],
        }
    )
    items = pa.table(
        {
            "item_idx": pa.array(range(n_items), pa.int32()),
            "item_id": [f"i{row}" for row in range(n_items)],
            "popularity": popularity_of(user_items),
            "recent_popularity": pa.nulls(n_items, pa.float32()),
        }
    )
    tables = [spark.createDataFrame(table) for table in (pairs, users, items)]
    return SparkLog(*tables, n_users=n_users, n_items=n_items, row_counts=RowCounts())
