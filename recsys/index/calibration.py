"""Choose, by measuring on real users, how much of an index to scan and how far to search."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from recsys.index.catalogue import CodedItems
from recsys.index.codes import PER_BLOCK
from recsys.index.forest import FOREST, AnnoyIndex, build_forest
from recsys.index.settings import IndexSettings
from recsys.index.trial import LONG, SHORT, Sample, Trial, is_faster

_LENGTHS = (SHORT, LONG)
_HEAD_SHARES = (0.5, 0.125, 0.03125)  # as long as a smaller head is faster
_FASTER = 0.9  # what the time has to fall to for a forest over more items to be worth its bytes
_FIRST_SEARCH_K = 32
_TRIED = "tried-"


@dataclass(frozen=True, eq=False)
class Calibrated:
    """A forest, how far it has to be searched, and what that gives.

    Parameters
    ----------
    index : AnnoyIndex
        With these settings.
    settings : mapping
        head_share, n_head, trees, seed, and search_k for lists of 20 and 100.
    trials : dict of int to Trial
        By length of the list.
    """

    index: AnnoyIndex
    settings: Mapping[str, Any]
    trials: Mapping[int, Trial]


def calibrate(
    coded: CodedItems,
    folder: Path,
    sample: Sample,
    exact: Mapping[int, Trial],
    settings: IndexSettings,
) -> Calibrated | None:
    """Build the forest that answers fastest at the target, and leave it in the folder.

    Parameters
    ----------
    coded : CodedItems
    folder : path
    sample : Sample
    exact : mapping of int to Trial
        What an exact search finds, by length of the list.
    settings : IndexSettings

    Returns
    -------
    Calibrated or None
        None, and no file, where there is nothing that a forest could split. One below the target
        where none meets it.
    """
    best: Calibrated | None = None
    for head_share in _heads(settings):
        found = _with_head(coded, folder, sample, exact, settings, head_share)
        if found is None:
            continue
        tried = folder / f"{_TRIED}{FOREST}"
        if best is not None and not _is_better(found, best, sample, exact, settings):
            tried.unlink()
            break
        tried.replace(folder / FOREST)
        best = found
    return best


def _heads(settings: IndexSettings) -> Iterator[float]:
    if settings.head_share is not None:
        yield settings.head_share
    else:
        yield from _HEAD_SHARES


def _is_better(
    new: Calibrated,
    old: Calibrated,
    sample: Sample,
    exact: Mapping[int, Trial],
    settings: IndexSettings,
) -> bool:
    meets = [one.trials[SHORT].recall(exact[SHORT]) or 1.0 for one in (new, old)]
    if min(meets) < settings.target_recall:
        return meets[0] > meets[1]
    return is_faster(new.index, old.index, sample, least=_FASTER)


def _with_head(
    coded: CodedItems,
    folder: Path,
    sample: Sample,
    exact: Mapping[int, Trial],
    settings: IndexSettings,
    head_share: float,
) -> Calibrated | None:
    """Build the forest behind a head, and find how far each length of list has to search."""
    n_head = int(head_share * len(coded.items)) // PER_BLOCK * PER_BLOCK
    path = folder / f"{_TRIED}{FOREST}"
    chosen = {"trees": settings.trees, "seed": settings.seed}
    if not build_forest(coded.items, coded.codes, path, n_head=n_head, **chosen):
        return None
    search_k: dict[str, int] = {}
    trials = {}
    for k in _LENGTHS:
        search_k[str(k)], trials[k] = _search_k_for(k, coded, path, sample, exact[k], settings)
    facts = {"head_share": head_share, "n_head": n_head, **chosen, "search_k": search_k}
    return Calibrated(AnnoyIndex(coded, path, search_k), facts, trials)


def _search_k_for(
    k: int,
    coded: CodedItems,
    path: Path,
    sample: Sample,
    exact: Trial,
    settings: IndexSettings,
) -> tuple[int, Trial]:
    """Double search_k until the target is met or the limit is reached."""
    search_k = min(_FIRST_SEARCH_K, settings.max_search_k)
    while True:
        index = AnnoyIndex(coded, path, {str(length): search_k for length in _LENGTHS})
        trial = Trial.of(index, sample, k)
        if trial.meets(exact, settings.target_recall) or search_k >= settings.max_search_k:
            return search_k, trial
        search_k = min(2 * search_k, settings.max_search_k)
