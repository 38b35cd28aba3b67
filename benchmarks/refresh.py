"""A refresh beside a night: how long both take, and what new users and items get from each.

    RECSYS_DATA=folder python -m benchmarks.refresh
    python -m benchmarks.refresh --sample     # a look, on the bundled log

A twentieth of the users and of the items of Gowalla is new: a night trains without them, then the
log has them. `recsys refresh` folds them in; a second training starts at random with all. Both are
tested on the given test part by recall@20: new users on all their items, all users on the new items
alone, and all users on all items.
"""

import argparse
import os
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

from recsys.config import settings_from
from recsys.evaluation import evaluate
from recsys.logs import read_log
from recsys.nightly import run_night, run_refresh
from recsys.splits import split_by_time
from recsys.store import find_version
from recsys.store.parquet_files import read_item_table, read_user_table
from recsys.vectors import Embeddings, Ids

MODELS: tuple[dict[str, Any], ...] = (
    {"name": "als", "factors": 64},
    {"name": "svd", "factors": 64},
    {"name": "distilled", "factors": 64, "iterations": 10},
)
NEW = 0.05  # of the users, and of the items
K = 20


def logs(is_sample: bool) -> tuple[pa.Table, pa.Table]:
    """Return train and test, with columns user and item."""
    if is_sample:
        log = read_log("data/sample/events.parquet")
        parts = split_by_time(log, test_fraction=0.2)
        train, test = (
            pa.table(
                {"user": part.users.tolist(part.user_idx), "item": part.items.tolist(part.item_idx)}
            )
            for part in parts
        )
        return train, test
    folder = Path(os.environ["RECSYS_DATA"]) / "gowalla"
    return pq.read_table(folder / "train.parquet"), pq.read_table(folder / "test.parquet")


def newcomers(column: pa.ChunkedArray, rng: np.random.Generator) -> pa.Array:
    """Return the ids that are new."""
    ids = column.unique()
    return ids.take(pa.array(rng.choice(len(ids), max(int(NEW * len(ids)), 1), replace=False)))


def matrix(table: pa.Table, users: Ids, items: Ids) -> sp.csr_array:
    """Return the pairs of a table whose user and item are known, (n_users, n_items)."""
    found = [
        pc.index_in(column.cast(pa.large_string()), value_set=ids.values.cast(pa.large_string()))
        for column, ids in ((table["user"], users), (table["item"], items))
    ]
    rows, columns = (one.fill_null(-1).to_numpy() for one in found)
    is_known = (rows >= 0) & (columns >= 0)
    ones = np.ones(int(is_known.sum()), dtype=np.float32)
    shape = (len(users), len(items))
    pairs = sp.csr_array((ones, (rows[is_known], columns[is_known])), shape=shape)
    pairs.data[:] = 1
    return pairs


def recalls(
    store: Path, name: str | None, train: pa.Table, test: pa.Table, new: tuple[pa.Array, pa.Array]
) -> list[str]:
    """Return what new users, all users of new items, and all of all get from a version."""
    folder = find_version(store, name).folder
    user_table, item_table = read_user_table(folder), read_item_table(folder)
    users, items = user_table.ids, item_table.ids
    embeddings = Embeddings(user_table.embeddings, item_table.embeddings)
    seen = matrix(train, users, items)
    found = []
    pairs = zip(("user", "item"), new, strict=True)
    parts = [test.filter(pc.is_in(test[column], value_set=ids)) for column, ids in pairs]
    for part in (*parts, test):
        tested = evaluate(embeddings, seen, matrix(part, users, items), k=K)
        found.append(f"{tested.metrics[f'recall@{K}']:.4f}")
    return found


def row(model: dict[str, Any], train: pa.Table, test: pa.Table) -> str:
    """Train, refresh and train again; return the row of a model."""
    rng = np.random.default_rng(0)
    new = newcomers(train["user"], rng), newcomers(train["item"], rng)
    is_old = pc.and_(
        pc.invert(pc.is_in(train["user"], value_set=new[0])),
        pc.invert(pc.is_in(train["item"], value_set=new[1])),
    )
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "log").mkdir()
        tables = {
            "data": {"log": str(folder / "log")},
            "log": {"columns": {"user_id": "user", "item_id": "item"}},
            "model": model,
            "evaluation": {"split": "none"},
            "gates": {"enabled": False},  # a twentieth in a day is more than they let pass
            "index": {"kind": "exact"},
            "nightly": {"log_file": str(folder / "night.jsonl"), "warm_start": False},
        }
        settings, store = settings_from(tables), folder / "store"
        pq.write_table(train.filter(is_old), folder / "log" / "before.parquet")
        run_night(settings, store)
        pq.write_table(train.filter(pc.invert(is_old)), folder / "log" / "new.parquet")
        cells = [str(model["name"])]
        for step in (run_refresh, run_night):
            began = perf_counter()
            report = step(settings, store)
            cells.append(f"{perf_counter() - began:.1f} s")
            cells += recalls(store, report.version, train, test, new)
    return f"| {' | '.join(cells)} |"


def main() -> None:
    """Print a row for each model."""
    parser = argparse.ArgumentParser(description="A refresh beside a night.")
    parser.add_argument("--sample", action="store_true", help="the bundled log")
    train, test = logs(parser.parse_args().sample)
    print("| model | refresh | new users | new items | all | night | new users | new items | all |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for model in MODELS:
        print(row(model, train, test), flush=True)


if __name__ == "__main__":
    main()
