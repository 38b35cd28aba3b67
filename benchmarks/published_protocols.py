"""How published numbers are measured: full ranking, and NCF's ranking among 99 others.

Matrices are over the users and items of train and test together, as in the code of NGCF, LightGCN
and NCF: an item of test that train does not know counts as relevant. (`split_given` leaves it
out: of the LightGCN++ split of lastfm, 2,543 of 18,321 test pairs.) Otherwise recall is
hits / |relevant|, ndcg is over the best of min(k, |relevant|), and users without test items are
left out: `recsys.evaluation` as it is.
"""

import warnings
from collections.abc import Callable, Mapping
from functools import partial
from typing import NamedTuple

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.sampled import evaluate_sampled
from benchmarks.sampled_files import SampledTest
from recsys.evaluation import Scorer, evaluate

Indices = NDArray[np.integer]
CUTOFFS = (10, 20, 50)
CANDIDATE_CUTOFFS = (1, 5, 10)


class Measured(NamedTuple):
    """A train matrix, and what measures a scorer that was fitted to it."""

    train: sp.csr_array
    measure: Callable[[Scorer], Mapping[str, float]]


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


def measure_candidates(test: SampledTest, scorer: Scorer) -> Mapping[str, float]:
    """Return hit rate and ndcg of lists of `CANDIDATE_CUTOFFS`.

    Among equal scores the held-out item comes first.
    """
    found: dict[str, float] = {}
    for k in CANDIDATE_CUTOFFS:
        with warnings.catch_warnings():  # these are compared with published figures alone
            warnings.simplefilter("ignore", UserWarning)
            metrics = evaluate_sampled(scorer, test, k, ties="first").metrics
        found[f"hr@{k}"] = metrics[f"sampled_hit_rate@{k}"]
        found[f"ndcg@{k}"] = metrics[f"sampled_ndcg@{k}"]
    return found
