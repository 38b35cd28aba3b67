"""Real logs, split for tuning and for one run on the test part."""

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import NamedTuple

import pyarrow.compute as pc
import pyarrow.parquet as pq

from benchmarks.machine import data_folder
from recsys.config import read_config
from recsys.logs import Interactions, read_log
from recsys.splits import split_by_time, split_given, split_last, split_random

ROOT = Path(__file__).parents[1]
EXAMPLES = ROOT / "pipelines" / "examples"


class Parts(NamedTuple):
    """One log: train and test, and a validation part cut from train."""

    train: Interactions
    test: Interactions
    fit: Interactions
    validation: Interactions


def example(name: str) -> Parts:
    """Return one of pipelines/examples: its given split, or the last fifth by time."""
    settings = read_config(EXAMPLES / f"{name}.toml")
    log = read_log(settings.data.log, settings.log)
    if settings.data.test:
        return with_validation(*split_given(log, read_log(settings.data.test, settings.log)))
    return with_validation(*split_by_time(log))


def gowalla() -> Parts:
    """Return the fixed split of Gowalla, and each user's last four of train as validation.

    Its rows come in the order of time, though without time, and test is what came after: among
    popular items, an item's share of events that is in test goes with its share in the last tenth
    of users' train rows (correlation 0.50), not with that in the first (-0.04). A validation part
    cut at random prefers other settings than test does.
    """
    parts = example("gowalla")
    return Parts(parts.train, parts.test, *split_last(parts.train, n=4))


def pairs(folder: str, train: str, test: str) -> Parts:
    """Return a published split whose files hold columns user and item."""
    read = partial(read_log, columns={"user_id": "user", "item_id": "item"})
    path = data_folder() / folder
    return with_validation(*split_given(read(path / train), read(path / test)))


def lightgcnpp(folder: str) -> Parts:
    """Return the published train, valid and test of LightGCN++ (valid is for tuning alone)."""
    table = pq.read_table(data_folder() / folder / "lightgcnpp_split.parquet")
    read = partial(read_log, columns={"user_id": "user", "item_id": "item"})
    part = {
        name: read(table.filter(pc.equal(table["split"], name)).select(["user", "item"]))
        for name in ("train", "valid", "test")
    }
    train, test = split_given(part["train"], part["test"])
    return Parts(train, test, *split_given(part["train"], part["valid"], role="validation"))


def ncf() -> Parts:
    """Return the last interaction of each user as test, as NCF has it, ranked over all items."""
    columns = ["user_id", "movie_id"]
    folder = data_folder() / "ml-1m"
    pairs = pq.read_table(folder / "interactions.parquet", columns=columns)
    held_out = pq.read_table(folder / "ncf_test.parquet", columns=columns)
    rest = pairs.join(held_out, keys=columns, join_type="left anti")
    read = partial(read_log, columns={"item_id": "movie_id"})
    return with_validation(*split_given(read(rest), read(held_out)))


def with_validation(train: Interactions, test: Interactions) -> Parts:
    """Cut a validation part from train: the last tenth by time, or at random without time."""
    if train.timestamp is None:
        return Parts(train, test, *split_random(train, test_fraction=0.1, seed=1))
    return Parts(train, test, *split_by_time(train, test_fraction=0.1))


SPLITS: dict[str, Callable[[], Parts]] = {
    "gowalla": gowalla,
    "ml-1m LCFN": partial(pairs, "ml-1m", "lcfn_train.parquet", "lcfn_test.parquet"),
    "ml-1m LightGCN++": partial(lightgcnpp, "ml-1m"),
    "ml-1m NCF": ncf,
    "lastfm LightGCN": partial(
        pairs, "lastfm-hetrec2011", "lightgcn_train.parquet", "lightgcn_test.parquet"
    ),
    "lastfm LightGCN++": partial(lightgcnpp, "lastfm-hetrec2011"),
    "movielens by time": partial(example, "movielens"),
    "online retail by time": partial(example, "online_retail"),
    "deskdrop by time": partial(example, "deskdrop"),
}
