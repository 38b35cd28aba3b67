"""Build an index, measure it on real users, and refuse it below its target."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.errors import GateFailedError, StoreError
from recsys.index.exact import ExactIndex
from recsys.index.forest import FOREST, TAIL, AnnoyIndex, build_forest
from recsys.index.protocol import Index, ItemRows
from recsys.index.settings import IndexSettings
from recsys.vectors import FloatMatrix, FloatVector

RECALL_K = 20
"""Length of the lists that index recall is measured on."""

_FIRST_SEARCH_K = 250


@dataclass(frozen=True, eq=False)
class Trial:
    """The lists that an index gave to a sample of users, and how long each took.

    Parameters
    ----------
    scores : list of ndarray of float32
        The scores of each list, best first.
    seconds : ndarray of float64, shape (n_users,)
    """

    scores: Sequence[FloatVector]
    seconds: NDArray[np.float64]

    @classmethod
    def of(cls, index: Index, users: FloatMatrix, seen: Sequence[ItemRows]) -> "Trial":
        """Search once for every user, without what the user has seen."""
        scores, seconds = [], []
        for user, exclude in zip(users, seen, strict=True):
            start = perf_counter()
            scores.append(index.search(user, RECALL_K, exclude)[1])
            seconds.append(perf_counter() - start)
        return cls(scores, np.array(seconds))

    def recall(self, exact: "Trial") -> float | None:
        """Return the share of the exact lists that this index found; None without any.

        By score, so that another item with the same score as the last one is no miss.
        """
        found = sum(map(_n_found, self.scores, exact.scores))
        wanted = sum(map(len, exact.scores))
        return found / wanted if wanted else None

    def milliseconds(self, percentile: float) -> float | None:
        """Return a percentile of the time per query; None without any."""
        if len(self.seconds) == 0:
            return None
        return round(1000 * float(np.percentile(self.seconds, percentile)), 4)


def build_index(
    items: FloatMatrix,
    sample_users: FloatMatrix,
    sample_seen: Sequence[ItemRows],
    settings: IndexSettings,
    folder: Path,
) -> dict[str, Any]:
    """Build the index of a version and measure it.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    sample_users : ndarray of float32, shape (n, factors)
        Real users, none of them zero, to measure recall and time on.
    sample_seen : list of ndarray of int32
        What each of them has seen, ascending: left out, as in serving.
    settings : IndexSettings
    folder : path
        Where files go, if the index has any.

    Returns
    -------
    dict
        What was built and measured, as the manifest holds it and `load_index` takes it: kind,
        recall@20, p50 and p99 in milliseconds, the users measured, and the settings of Annoy.

    Raises
    ------
    GateFailedError
        If the index misses its target recall.
    OSError
        If a file cannot be written.
    """
    exact = Trial.of(ExactIndex(items), sample_users, sample_seen)
    facts: dict[str, Any] = {
        "kind": "exact",
        "target_recall": settings.target_recall,
        f"recall@{RECALL_K}": exact.recall(exact),
        "n_users_measured": len(sample_users),
        "p50_ms": exact.milliseconds(50),
        "p99_ms": exact.milliseconds(99),
        "exact_p50_ms": exact.milliseconds(50),
    }
    chosen: dict[str, Any] = {
        "head_share": settings.head_share,
        "trees": settings.trees,
        "seed": settings.seed,
    }
    if settings.kind == "exact" or not build_forest(items, folder, **chosen):
        return facts
    search_k, trial = _calibrate(items, folder, sample_users, sample_seen, exact, settings)
    recall = trial.recall(exact)
    misses = recall is not None and recall < settings.target_recall
    slower = (trial.milliseconds(50) or 0) > (exact.milliseconds(50) or 0)
    if settings.kind == "auto" and (misses or slower):
        (folder / FOREST).unlink()
        (folder / TAIL).unlink()
        return facts
    if misses:
        raise GateFailedError([_refusal(recall, search_k, settings)])
    return {
        **facts,
        "kind": "annoy",
        f"recall@{RECALL_K}": recall,
        "p50_ms": trial.milliseconds(50),
        "p99_ms": trial.milliseconds(99),
        "search_k": search_k,
        **chosen,
    }


def load_index(items: FloatMatrix, folder: Path, facts: dict[str, Any]) -> Index:
    """Open the index that `build_index` made.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    folder : path
    facts : dict
        What `build_index` returned.

    Raises
    ------
    CorruptVersionError
        If a file of the index is not what it should be.
    StoreError
        If the kind of index is not known to this release.
    """
    if facts["kind"] == "exact":
        return ExactIndex(items)
    if facts["kind"] == "annoy":
        return AnnoyIndex(items, folder, facts["search_k"])
    raise StoreError(
        f"{folder}: expected an index of kind annoy or exact, got {facts['kind']!r}; "
        "it was made by another release of recsys: install that one"
    )


def _calibrate(
    items: FloatMatrix,
    folder: Path,
    users: FloatMatrix,
    seen: Sequence[ItemRows],
    exact: Trial,
    settings: IndexSettings,
) -> tuple[int, Trial]:
    """Double search_k until the target recall is met or the limit is reached."""
    search_k = min(_FIRST_SEARCH_K, settings.max_search_k)
    while True:
        trial = Trial.of(AnnoyIndex(items, folder, search_k), users, seen)
        recall = trial.recall(exact)
        reached = recall is None or recall >= settings.target_recall
        if reached or search_k >= settings.max_search_k:
            return search_k, trial
        search_k = min(2 * search_k, settings.max_search_k)


def _n_found(scores: FloatVector, exact: FloatVector) -> int:
    if len(exact) == 0:
        return 0
    # The same item's score may differ in its last bits with the rows scored beside it.
    rounding = 1e-6 * float(np.abs(exact).max())
    return int((scores >= exact[-1] - rounding).sum())


def _refusal(recall: float | None, search_k: int, settings: IndexSettings) -> str:
    return (
        f"index: expected recall@{RECALL_K} of at least {settings.target_recall:g} against exact "
        f"search, got {recall:.4f} with {settings.trees} trees and search_k {search_k}; raise "
        "index.head_share, index.trees or index.max_search_k, lower index.target_recall, or set "
        'index.kind = "exact"'
    )
