"""Published splits: their test parts, and validation parts cut from train."""

from collections.abc import Callable
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

from benchmarks.machine import data_folder
from benchmarks.published_protocols import (
    Indices,
    Measured,
    full_ranking,
    measure_candidates,
    measure_ranking,
    ones,
)
from benchmarks.sampled_files import SampledTest
from benchmarks.splits import SPLITS

N_NEGATIVES, N_NCF_ITEMS = 99, 3706


class PublishedSplit(NamedTuple):
    """One split: in words, its test part, and a validation part cut from its train part."""

    protocol: str
    test: Callable[[], Measured]
    validation: Callable[[], Measured]


def pairs(folder: str, name: str) -> pa.Table:
    """Return one of the files that hold columns user and item."""
    return pq.read_table(data_folder() / folder / name, columns=["user", "item"])


def given(folder: str, train: str, test: str) -> Measured:
    """Return a published pair of files."""
    return full_ranking(pairs(folder, train), pairs(folder, test))


def lightgcnpp(folder: str) -> Measured:
    """Return the published train and test parts; items of valid stay among the ranked ones."""
    table = pq.read_table(data_folder() / folder / "lightgcnpp_split.parquet")
    train, test = (table.filter(pc.equal(table["split"], name)) for name in ("train", "test"))
    return full_ranking(train, test)


def cut_from_train(name: str) -> Measured:
    """Return the validation part that `benchmarks.splits` cuts from train, ranked in full."""
    parts = SPLITS[name]()
    seen, relevant = parts.fit.user_items(), parts.validation.user_items()
    return Measured(seen, partial(measure_ranking, seen, relevant))


def ncf() -> Measured:
    """Return the published leave-one-out, with the published negatives."""
    train, held_out = ncf_parts()
    negatives = np.stack(held_out["negatives"].to_numpy())
    user_idx, item_idx = (held_out[name].to_numpy() for name in ("user_idx", "item_idx"))
    shape = len(user_idx), N_NCF_ITEMS
    seen = ones(train["user_idx"].to_numpy(), train["item_idx"].to_numpy(), shape)
    return Measured(seen, partial(measure_candidates, SampledTest(user_idx, item_idx, negatives)))


def ncf_validation() -> Measured:
    """Return the latest event of known time of each user in train, among 99 drawn negatives."""
    train, held_out = ncf_parts()
    user_idx, item_idx = (train[name].to_numpy() for name in ("user_idx", "item_idx"))
    latest = latest_of_each_user(user_idx, train["timestamp"])
    rest = np.delete(np.arange(len(train)), latest)
    shape = len(held_out), N_NCF_ITEMS
    known = ones(user_idx, item_idx, shape)
    rng = np.random.default_rng(1)
    negatives = np.stack([unknown_items(known, user, rng) for user in user_idx[latest]])
    seen = ones(user_idx[rest], item_idx[rest], shape)
    candidates = SampledTest(user_idx[latest], item_idx[latest], negatives.astype(np.int32))
    return Measured(seen, partial(measure_candidates, candidates))


def ncf_parts() -> tuple[pa.Table, pa.Table]:
    """Return train and test of NCF, both with the rows that NCF gave to users and items."""
    folder = data_folder() / "ml-1m"
    held_out = pq.read_table(folder / "ncf_test.parquet")
    events = pq.read_table(
        folder / "interactions.parquet", columns=["user_id", "movie_id", "timestamp"]
    )
    events = events.join(pq.read_table(folder / "ncf_items.parquet"), keys="movie_id")
    events = events.join(held_out.select(["user_id", "user_idx"]), keys="user_id")
    keys = ["user_id", "movie_id"]
    return events.join(held_out.select(keys), keys=keys, join_type="left anti"), held_out


def latest_of_each_user(user_idx: Indices, timestamp: pa.ChunkedArray) -> Indices:
    """Return the row of each user's latest event; events of unknown time are none."""
    is_known = timestamp.is_valid().to_numpy(zero_copy_only=False)
    time = timestamp.fill_null(0).to_numpy()
    order = np.lexsort((time, user_idx))
    order = order[is_known[order]]
    is_last = np.append(np.diff(user_idx[order]) != 0, True)
    latest: Indices = order[is_last]
    return latest


def unknown_items(known: sp.csr_array, user: int, rng: np.random.Generator) -> Indices:
    """Draw items that a user has no event with."""
    items = known.indices[known.indptr[user] : known.indptr[user + 1]]
    unknown = np.setdiff1d(np.arange(known.shape[1]), items)
    return rng.choice(unknown, N_NEGATIVES, replace=False)


RANKED = "all items ranked but those of train"
PUBLISHED_SPLITS: dict[str, PublishedSplit] = {
    "gowalla": PublishedSplit(
        f"NGCF and LightGCN's files; {RANKED}",
        partial(given, "gowalla", "train.parquet", "test.parquet"),
        partial(cut_from_train, "gowalla"),
    ),
    "ml-1m LCFN": PublishedSplit(
        f"LCFN's files, as in UltraGCN and BARS; {RANKED}",
        partial(given, "ml-1m", "lcfn_train.parquet", "lcfn_test.parquet"),
        partial(cut_from_train, "ml-1m LCFN"),
    ),
    "ml-1m NCF": PublishedSplit(
        "NCF's files: each user's last event ranked among its 99 negatives", ncf, ncf_validation
    ),
    "ml-1m LightGCN++": PublishedSplit(
        f"LightGCN++'s files; {RANKED}",
        partial(lightgcnpp, "ml-1m"),
        partial(cut_from_train, "ml-1m LightGCN++"),
    ),
    "lastfm LightGCN": PublishedSplit(
        f"LightGCN-PyTorch's files; {RANKED}",
        partial(given, "lastfm-hetrec2011", "lightgcn_train.parquet", "lightgcn_test.parquet"),
        partial(cut_from_train, "lastfm LightGCN"),
    ),
    "lastfm LightGCN++": PublishedSplit(
        f"LightGCN++'s files; {RANKED}",
        partial(lightgcnpp, "lastfm-hetrec2011"),
        partial(cut_from_train, "lastfm LightGCN++"),
    ),
}
