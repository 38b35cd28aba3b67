"""Build the index of a version, measure it, refuse it below its target; and open it."""

import warnings
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from recsys.base.errors import GateFailedError, StoreError, briefly
from recsys.index.annoy import AnnoyError
from recsys.index.calibration import COSTS, MeasuredIndex, calibrate, calibrate_clusters, limited
from recsys.index.clusters import open_clusters, write_clusters
from recsys.index.compiled import COUNTED
from recsys.index.forest import FOREST, open_forest
from recsys.index.index_summary import (
    CLUSTERS,
    ClusterSummary,
    ForestSummary,
    IndexSummary,
    Times,
    WorkSummary,
)
from recsys.index.measurement import (
    HardQueries,
    Sample,
    answers_as_built,
    milliseconds_of,
    recall_by_condition,
    share_found,
    write_probes,
)
from recsys.index.plain import PlainIndex
from recsys.index.quantized import open_codes, write_codes
from recsys.index.searcher import LONG, SHORT, Searcher
from recsys.index.with_more import IndexWithMore
from recsys.vectors import FloatMatrix

if TYPE_CHECKING:
    from recsys.settings import IndexSettings

_KINDS = ("annoy", CLUSTERS, "exact")

Index = Searcher | PlainIndex | IndexWithMore
"""What answers queries: the second takes over where the first fails on a machine."""


def build_index(
    items: FloatMatrix,
    sample: Sample,
    settings: "IndexSettings",
    folder: Path,
    *,
    cosine: bool = False,
) -> IndexSummary:
    """Build the index of a version and measure it.

    The same items, sample and settings give the same files, whatever else the machine does: every
    choice is by counted work. Where Annoy cannot be used, the index is exact, with a warning.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    sample : Sample
        Real users to measure recall, work and time on.
    folder : path
        Where files go.
    cosine : bool
        Search by cosine instead of dot product.

    Returns
    -------
    IndexSummary
        For the manifest, and for `load_index`.

    Raises
    ------
    GateFailedError
        If the index misses its target recall.
    OSError
        If a file cannot be written.
    """
    exact = MeasuredIndex.exact(Searcher.of(items, cosine=cosine), sample)
    write_probes(folder, sample.users, exact.index)
    chosen, without_annoy, hard = exact, None, HardQueries(exact.index, sample)
    if settings.kind != "annoy":
        chosen = calibrate_clusters(exact, hard, settings) or exact
    if settings.kind != "exact" and chosen is exact:
        try:
            chosen = _chosen(exact, folder, hard, settings)
        except AnnoyError as error:
            without_annoy = str(error)
            _warn_of(without_annoy)
    write_codes(chosen.index.codes, folder)
    if chosen.index.clusters is not None:
        write_clusters(chosen.index.clusters, folder)
    return _summary(chosen, exact, folder, sample, settings, without_annoy)


def load_index(items: FloatMatrix, folder: Path, summary: IndexSummary) -> Index:
    """Open the index that `build_index` made, and see that it answers as it did then.

    Annoy is not needed: a forest is searched without it.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    summary : IndexSummary
        What `build_index` returned.

    Returns
    -------
    Searcher or PlainIndex
        An exact search by NumPy, with a warning, where the answers to some stored queries are
        others than they were: on a processor for which something is compiled wrongly, say.

    Raises
    ------
    CorruptVersionError
        If a file of the index is not what it should be.
    StoreError
        If the kind of index is not known to this release.
    """
    if summary.kind not in _KINDS:
        raise StoreError(
            f"{folder}: expected an index of kind {', '.join(_KINDS)}, "
            f"got {briefly(summary.kind)}; "
            "it was made by another release of recsys: install that one"
        )
    codes, forest, clusters = open_codes(folder, *items.shape), None, None
    if summary.forest is not None:
        forest = open_forest(folder / FOREST, *items.shape)
    if summary.clusters is not None:
        clusters = open_clusters(folder, *items.shape)
    index = Searcher(items, codes, forest, clusters=clusters)
    partial = summary.forest or summary.clusters
    if partial is not None:
        index = index.with_limits(partial.search_k, partial.most_excluded)
    if answers_as_built(index, folder, None if partial is None else partial.probe_recall):
        return index
    warnings.warn(
        f"{folder}: the index answers otherwise than when it was built; searching exactly, without "
        "compiled code, which is slower; run recsys verify, and train again on this machine",
        RuntimeWarning,
        stacklevel=2,
    )
    return PlainIndex(np.asarray(items), index.factor)


def _chosen(
    exact: MeasuredIndex, folder: Path, hard: HardQueries, settings: "IndexSettings"
) -> MeasuredIndex:
    """Return the index with a forest, unless there is none or "auto" finds it no better."""
    found = calibrate(exact, folder, hard, settings)
    if found is None:
        return exact
    recall = found.recall(exact)
    misses = recall < settings.target_recall
    if misses and settings.kind == "annoy":
        raise GateFailedError([_refusal(recall, found.index.search_k[SHORT], settings)])
    found = limited(found, exact, hard, settings.target_recall)
    is_cheaper = found.total_cost() < exact.total_cost() and found.costs_no_more(exact)
    if settings.kind == "auto" and (misses or not is_cheaper):
        (folder / FOREST).unlink()
        return exact
    return found


def _summary(
    chosen: MeasuredIndex,
    exact: MeasuredIndex,
    folder: Path,
    sample: Sample,
    settings: "IndexSettings",
    without_annoy: str | None,
) -> IndexSummary:
    lengths = (SHORT, LONG)
    kind, forest, clusters = "exact", None, None
    if chosen is not exact:
        common: dict[str, Any] = {
            "seed": settings.seed,
            "search_k": chosen.index.search_k,
            "most_excluded": chosen.index.most_excluded,
            # What scans all clusters is exact under any condition.
            "conditions": recall_by_condition(chosen.index, exact.index, sample)
            if chosen.head is not None or any(chosen.index.search_k.values())
            else {},
            "probe_recall": share_found(chosen.index, folder),
        }
        if chosen.head is not None:
            kind, head = "annoy", chosen.head
            forest = ForestSummary(
                **common, head_share=head.share, n_head=head.n_items, trees=settings.trees
            )
        elif chosen.index.clusters is not None:
            kind = CLUSTERS
            clusters = ClusterSummary(**common, n_clusters=len(chosen.index.clusters.centers))
    times = {k: Times.of(milliseconds_of(chosen.index, sample, k)) for k in lengths}
    return IndexSummary(
        kind=kind,
        target_recall=settings.target_recall,
        n_users_measured=len(sample),
        recall={k: chosen.counted[k].recall(exact.counted[k]) for k in lengths},
        times=times,
        exact_p50_ms=times[SHORT].p50
        if chosen is exact
        else Times.of(milliseconds_of(exact.index, sample, SHORT)).p50,
        work={k: _work_of(k, chosen, exact) for k in lengths},
        costs=asdict(COSTS),
        forest=forest,
        clusters=clusters,
        without_annoy=without_annoy,
    )


def _work_of(k: int, chosen: MeasuredIndex, exact: MeasuredIndex) -> WorkSummary:
    means = chosen.counted[k].mean_work().round(1).tolist()
    return WorkSummary(
        ms=round(chosen.cost(k) / 1e6, 4),
        exact_ms=round(exact.cost(k) / 1e6, 4),
        mean=dict(zip(COUNTED, means, strict=True)),
    )


def _warn_of(without_annoy: str) -> None:
    warnings.warn(
        f"{without_annoy}; the index is exact, which needs no annoy: lists are the best ones and "
        'take a little longer; install annoy again, or set index.kind = "exact"',
        RuntimeWarning,
        stacklevel=3,
    )


def _refusal(recall: float, search_k: int, settings: "IndexSettings") -> str:
    return (
        f"index: expected recall@{SHORT} of at least {settings.target_recall:g} against exact "
        f"search, got {recall:.4f} with {settings.trees} trees and search_k {search_k}; raise "
        "index.head_share, index.trees or index.max_search_k, lower index.target_recall, or set "
        'index.kind = "exact"'
    )
