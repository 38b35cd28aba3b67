"""Programs that load a version with nothing of ours.

`{folder}`, `{factors}` and `{user}`, the id of row 0, are filled in.
"""

from collections.abc import Mapping

_PANDAS = """\
import numpy as np
import pandas as pd

folder = {folder!r}
users = pd.read_parquet(folder + "/users.parquet")
items = pd.read_parquet(folder + "/items.parquet")
scores = np.stack(items["embedding"]) @ users["embedding"][0]
print(items["item_id"].iloc[np.argsort(-scores, kind="stable")[:5]].tolist())
"""

_POLARS = """\
import numpy as np
import polars as pl

folder = {folder!r}
users = pl.read_parquet(folder + "/users.parquet")
items = pl.read_parquet(folder + "/items.parquet")
scores = items["embedding"].to_numpy() @ users["embedding"].to_numpy()[0]
print(items["item_id"].gather(np.argsort(-scores, kind="stable")[:5]).to_list())
"""

_DUCKDB = """\
import duckdb

folder = {folder!r}
found = duckdb.execute(
    '''
    select item_id
    from (select * from read_parquet($items, file_row_number = true)) as items,
         (select embedding as own from read_parquet($users, file_row_number = true)
          where file_row_number = 0) as users
    order by array_inner_product(embedding::float[{factors}], own::float[{factors}]) desc,
             file_row_number
    limit 5
    ''',
    {{"items": folder + "/items.parquet", "users": folder + "/users.parquet"}},
).fetchall()
print([item_id for (item_id,) in found])
"""

_NUMPY = """\
import numpy as np
import pyarrow.parquet as pq

folder = {folder!r}


def vectors_of(table):
    column = table["embedding"].combine_chunks()
    return column.flatten().to_numpy().reshape(len(table), {factors})


users = pq.read_table(folder + "/users.parquet")
items = pq.read_table(folder + "/items.parquet")
scores = vectors_of(items) @ vectors_of(users)[0]
print([items["item_id"][row].as_py() for row in np.argsort(-scores, kind="stable")[:5].tolist()])
"""

_SPARK = """\
from pyspark.sql import SparkSession
from pyspark.sql import functions as f

folder = {folder!r}
spark = SparkSession.builder.getOrCreate()
users = spark.read.parquet(folder + "/users.parquet").where(f.col("user_id") == {user!r})
items = spark.read.parquet(folder + "/items.parquet")
products = f.zip_with("embedding", "own", lambda a, b: (a * b).cast("double"))
scored = items.crossJoin(users.select(f.col("embedding").alias("own"))).select(
    "item_id", f.aggregate(products, f.lit(0.0), lambda total, one: total + one).alias("score")
)
print([row["item_id"] for row in scored.orderBy(f.desc("score")).limit(5).collect()])
"""

SNIPPETS: Mapping[str, str] = {
    "pandas": _PANDAS,
    "Polars": _POLARS,
    "DuckDB": _DUCKDB,
    "NumPy": _NUMPY,
    "Spark": _SPARK,
}
