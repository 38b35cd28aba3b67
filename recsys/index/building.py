"""Build the index of a version, measure it, refuse it below its target; and open it."""

import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from recsys.base.errors import GateFailedError, StoreError
from recsys.index.calibration import calibrate
from recsys.index.catalogue import damaged, open_array, open_codes, write_codes
from recsys.index.exact import ExactIndex, PlainIndex
from recsys.index.forest import FOREST, AnnoyIndex
from recsys.index.protocol import Index
from recsys.index.settings import IndexSettings
from recsys.index.trial import LONG, SHORT, Sample, Trial, is_faster
from recsys.vectors import FloatMatrix

PROBES, ANSWERS = "probes.npy", "answers.npy"

_N_PROBES = 8  # users whose lists are compared whenever the index is opened
_SAME = 1e-4  # relative difference of scores that another processor may make
_FEWER = 0.05  # share of a list that another processor may miss


def build_index(
    items: FloatMatrix,
    sample: Sample,
    settings: IndexSettings,
    folder: Path,
    *,
    cosine: bool = False,
) -> dict[str, Any]:
    """Build the index of a version and measure it.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    sample : Sample
        Real users to measure recall and time on.
    settings : IndexSettings
    folder : path
        Where files go.
    cosine : bool
        Search by cosine instead of dot product.

    Returns
    -------
    dict
        What was built and measured, as the manifest holds it and `load_index` takes it: kind,
        recall of lists of 20 and 100, median and 99th percentile of the time in milliseconds, the
        users measured, and the settings of Annoy.

    Raises
    ------
    GateFailedError
        If the index misses its target recall.
    OSError
        If a file cannot be written.
    """
    coded = write_codes(items, folder, cosine=cosine)
    exact_index = ExactIndex(coded)
    Trial.of(exact_index, sample, SHORT)  # fills the caches that serving finds full
    exact = {k: Trial.of(exact_index, sample, k) for k in (SHORT, LONG)}
    _write_probes(folder, sample, exact_index)
    facts = {
        "kind": "exact",
        "target_recall": settings.target_recall,
        "n_users_measured": len(sample),
        "exact_p50_ms": exact[SHORT].milliseconds(50),
        **_measured(exact, exact),
    }
    if settings.kind == "exact":
        return facts
    found = calibrate(coded, folder, sample, exact, settings)
    if found is None:
        return facts
    recall = found.trials[SHORT].recall(exact[SHORT])
    misses = recall is not None and recall < settings.target_recall
    if settings.kind == "auto" and (misses or not is_faster(found.index, exact_index, sample)):
        (folder / FOREST).unlink()
        return facts
    if misses:
        raise GateFailedError([_refusal(recall, found.settings, settings)])
    return {
        **facts,
        "kind": "annoy",
        "probe_recall": _share_found(found.index, folder),
        **_measured(found.trials, exact),
        **found.settings,
    }


def load_index(items: FloatMatrix, folder: Path, facts: Mapping[str, Any]) -> Index:
    """Open the index that `build_index` made, and see that it answers as it did then.

    Parameters
    ----------
    items : ndarray of float32, shape (n_items, factors)
    folder : path
    facts : mapping
        What `build_index` returned.

    Returns
    -------
    Index
        An exact search by NumPy, with a warning, where the answers to some stored queries are
        others than they were: on a processor for which something is compiled wrongly, say.

    Raises
    ------
    CorruptVersionError
        If a file of the index is not what it should be.
    StoreError
        If the kind of index is not known to this release.
    """
    if facts["kind"] not in ("annoy", "exact"):
        raise StoreError(
            f"{folder}: expected an index of kind annoy or exact, got {facts['kind']!r}; "
            "it was made by another release of recsys: install that one"
        )
    coded = open_codes(items, folder)
    index: Index = ExactIndex(coded)
    if facts["kind"] == "annoy":
        index = AnnoyIndex(coded, folder / FOREST, facts["search_k"])
    if _answers_as_built(index, folder, facts):
        return index
    warnings.warn(
        f"{folder}: the index answers otherwise than when it was built; searching exactly, without "
        "compiled code, which is slower; run recsys verify, and train again on this machine",
        RuntimeWarning,
        stacklevel=2,
    )
    factor = coded.codes.factor
    return PlainIndex(items, factor if len(factor) else None)


def _measured(trials: Mapping[int, Trial], exact: Mapping[int, Trial]) -> dict[str, Any]:
    return {
        f"recall@{SHORT}": trials[SHORT].recall(exact[SHORT]),
        f"recall@{LONG}": trials[LONG].recall(exact[LONG]),
        "p50_ms": trials[SHORT].milliseconds(50),
        "p99_ms": trials[SHORT].milliseconds(99),
        f"p50_ms@{LONG}": trials[LONG].milliseconds(50),
        f"p99_ms@{LONG}": trials[LONG].milliseconds(99),
    }


def _write_probes(folder: Path, sample: Sample, index: ExactIndex) -> None:
    """Store some queries and the scores of their exact lists, which NumPy has confirmed."""
    probes = np.ascontiguousarray(sample.users[:_N_PROBES])
    answers = np.full((len(probes), SHORT), -np.inf, dtype=np.float32)
    plain = PlainIndex(index.items, index.factor)
    nothing = np.empty(0, dtype=np.int32)
    for place, user in enumerate(probes):
        scores = plain.search(user, SHORT, nothing)[1]
        answers[place, : len(scores)] = scores
    np.save(folder / PROBES, probes)
    np.save(folder / ANSWERS, answers)


def _answers_as_built(index: Index, folder: Path, facts: Mapping[str, Any]) -> bool:
    share = _share_found(index, folder)
    if facts["kind"] == "exact":
        return share == 1
    # What these few users got when it was built may be more or less than what users get.
    return bool(share >= facts.get("probe_recall", facts["target_recall"]) - _FEWER)


def _share_found(index: Index, folder: Path) -> float:
    """Return the share of the stored answers that an index gives; 0 where it says what is wrong."""
    probes, answers = open_array(folder / PROBES), open_array(folder / ANSWERS)
    if probes.shape[1:] != index.items.shape[1:] or answers.shape != (len(probes), SHORT):
        raise damaged(folder / PROBES, f"expected queries for {ANSWERS}, got others")
    nothing = np.empty(0, dtype=np.int32)
    found = wanted = 0
    for user, expected in zip(probes, answers, strict=True):
        expected = expected[expected > -np.inf]
        rounding = _SAME * np.abs(expected).max(initial=0)
        scores = index.search(user, SHORT, nothing)[1]
        if len(scores) != len(expected) or (scores > expected + rounding).any():
            return 0.0
        found += int((scores >= expected[-1:] - rounding).sum())
        wanted += len(expected)
    return found / wanted if wanted else 1.0


def _refusal(recall: float | None, chosen: Mapping[str, Any], settings: IndexSettings) -> str:
    return (
        f"index: expected recall@{SHORT} of at least {settings.target_recall:g} against exact "
        f"search, got {recall:.4f} with {settings.trees} trees and search_k "
        f"{chosen['search_k'][str(SHORT)]}; raise index.head_share, index.trees or "
        'index.max_search_k, lower index.target_recall, or set index.kind = "exact"'
    )
