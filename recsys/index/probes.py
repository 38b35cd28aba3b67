"""Stored queries and their exact answers: whether an index answers as it did when it was built."""

from pathlib import Path

import numpy as np

from recsys.base.arrays import damaged, open_array
from recsys.base.threads import one_blas_thread
from recsys.index.plain import PlainIndex
from recsys.index.searcher import SHORT, Searcher
from recsys.vectors import FloatMatrix

PROBES, ANSWERS = "probes.npy", "answers.npy"

_N_PROBES = 8  # users whose lists are compared whenever the index is opened
_SAME = 1e-4  # relative difference of scores that another processor may make
_FEWER = 0.05  # share of a list that another processor may miss
_NOTHING = np.empty(0, dtype=np.int32)


def write_probes(folder: Path, users: FloatMatrix, exact: Searcher) -> None:
    """Store some users and the scores of their exact lists, by NumPy."""
    probes = np.ascontiguousarray(users[:_N_PROBES])
    answers = np.full((len(probes), SHORT), -np.inf, dtype=np.float32)
    plain = PlainIndex(exact.items, exact.factor)
    with one_blas_thread():  # whose sums depend on how many threads there are
        for number, user in enumerate(probes):
            scores = plain.search(user, SHORT, _NOTHING)[1]
            answers[number, : len(scores)] = scores
    np.save(folder / PROBES, probes)
    np.save(folder / ANSWERS, answers)


def share_found(index: Searcher, folder: Path) -> float:
    """Return the share of the stored answers that an index gives; 0 where a score is wrong."""
    probes, answers = open_array(folder / PROBES), open_array(folder / ANSWERS)
    if probes.shape[1:] != index.items.shape[1:] or answers.shape != (len(probes), SHORT):
        raise damaged(folder / PROBES, f"expected queries for {ANSWERS}, got others")
    found = wanted = 0
    for user, expected in zip(probes, answers, strict=True):
        expected = expected[expected > -np.inf]
        rounding = _SAME * np.abs(expected).max(initial=0)
        scores = index.search(user, SHORT, _NOTHING)[1]
        if len(scores) != len(expected) or (scores > expected + rounding).any():
            return 0.0
        found += int((scores >= expected[-1:] - rounding).sum())
        wanted += len(expected)
    return found / wanted if wanted else 1.0


def answers_as_built(index: Searcher, folder: Path, probe_recall: float | None) -> bool:
    """Return whether an index finds what it found when it was built."""
    share = share_found(index, folder)
    return share == 1 if probe_recall is None else share >= probe_recall - _FEWER
