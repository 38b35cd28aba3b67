"""Published splits, measured as their sources measure them.

The matrices are over the users and items of train and test together, as in the code of NGCF,
LightGCN and NCF: an item of test that train does not know counts as relevant. (`split_given`
leaves it out: of the LightGCN++ split of lastfm, 2,543 of 18,321 test pairs.) Otherwise recall
is hits / |relevant|, ndcg is over the best of min(k, |relevant|), users without test items are
left out: `recsys.evaluation` as it is.
"""

from collections.abc import Callable, Iterator, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.splits import SPLITS, data_folder
from recsys.evaluation import Scorer, evaluate

Indices = NDArray[np.integer]
CUTOFFS = (10, 20, 50)
CANDIDATE_CUTOFFS = (1, 5, 10)
N_NEGATIVES, N_NCF_ITEMS = 99, 3706
BLOCK = 512  # users


class Measured(NamedTuple):
    """A train matrix, and what measures a scorer that was fitted to it."""

    train: sp.csr_array
    measure: Callable[[Scorer], Mapping[str, float]]


class PublishedSplit(NamedTuple):
    """One split: in words, its test part, and a validation part cut from its train part."""

    protocol: str
    test: Callable[[], Measured]
    validation: Callable[[], Measured]


def full_ranking(train: pa.Table, test: pa.Table) -> Measured:
    """Return the protocol that ranks all items that the user has not in train."""
    users, items = (
        np.unique(np.concatenate([train[name], test[name]]), return_inverse=True)
        for name in ("user", "item")
    )
    shape, in_train = (len(users[0]), len(items[0])), slice(len(train))
    in_test = slice(len(train), None)
    seen = ones(users[1][in_train], items[1][in_train], shape)
    relevant = ones(users[1][in_test], items[1][in_test], shape)
    return Measured(seen, partial(measure_ranking, seen, relevant))


def ones(user_idx: Indices, item_idx: Indices, shape: tuple[int, int]) -> sp.csr_array:
    """Return a matrix of ones."""
    data = np.ones(len(user_idx), dtype=np.float32)
    return sp.csr_array(sp.coo_array((data, (user_idx, item_idx)), shape=shape))


def measure_ranking(
    seen: sp.csr_array, relevant: sp.csr_array, scorer: Scorer
) -> Mapping[str, float]:
    """Return the metrics of recsys.evaluation, and F1 in both of the ways that are in use."""
    found = evaluate(scorer, seen, relevant, k=CUTOFFS, allow_unknown=True)
    precision, recall = found.per_user["precision@20"], found.per_user["recall@20"]
    means = {
        "f1@20": float(harmonic(precision, recall).mean()),  # LCFN, SimpleX
        "f1@20,means": float(harmonic(precision.mean(), recall.mean())),  # UltraGCN
    }
    return {**found.metrics, **means}


def harmonic(a: NDArray[np.float64], b: NDArray[np.float64]) -> NDArray[np.float64]:
    """Return the harmonic mean, 0 where both are 0."""
    return 2 * a * b / np.maximum(a + b, np.finfo(np.float64).tiny)


class Candidates(NamedTuple):
    """Per user: the held-out item, and the items it is ranked among."""

    user_idx: Indices  # (n,)
    item_idx: Indices  # (n,)
    negatives: Indices  # (n, 99)


def measure_candidates(candidates: Candidates, scorer: Scorer) -> Mapping[str, float]:
    """Return hit rate and ndcg of lists of `CANDIDATE_CUTOFFS`.

    A negative that is the held-out item (156 of the original file are) does not count, as in
    the dictionary of NCF's evaluate.py. Among equal scores the held-out item comes first.
    """
    ahead = np.concatenate(list(ahead_of_held_out(candidates, scorer)))
    gains = 1 / np.log2(ahead + 2.0)
    hits = {k: ahead < k for k in CANDIDATE_CUTOFFS}
    return {f"hr@{k}": float(hit.mean()) for k, hit in hits.items()} | {
        f"ndcg@{k}": float(np.where(hit, gains, 0.0).mean()) for k, hit in hits.items()
    }


def ahead_of_held_out(candidates: Candidates, scorer: Scorer) -> Iterator[Indices]:
    """Yield how many candidates score above the held-out item, block by block."""
    for start in range(0, len(candidates.user_idx), BLOCK):
        user_idx, item_idx, negatives = (part[start : start + BLOCK] for part in candidates)
        scores = scorer.scores(user_idx)
        held_out = np.take_along_axis(scores, item_idx[:, None], axis=1)
        above = np.take_along_axis(scores, negatives, axis=1) > held_out
        yield (above & (negatives != item_idx[:, None])).sum(axis=1)


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
    return Measured(seen, partial(measure_candidates, Candidates(user_idx, item_idx, negatives)))


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
    candidates = Candidates(user_idx[latest], item_idx[latest], negatives)
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
