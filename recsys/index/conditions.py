"""Queries under conditions: how many exclusions a forest bears, and what an index finds under each.

The recall of ordinary lists says little of others. Most of an ordinary list comes from the head,
which is scanned; a list under a condition that bars the head holds nothing but what the forest
finds, and a list after the exclusion of the best items holds what lies deeper.
"""

import math
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.index.measurement import Counted, Sample
from recsys.index.plain import Allowed
from recsys.index.searcher import LONG, SHORT, Searcher

LENGTHS = (1, SHORT, LONG, 1000)
"""Of the lists that are measured under every condition."""

_MEASURED = {SHORT: (1, SHORT), LONG: (LONG,)}  # for how far a forest is asked
_EXCLUSIONS = (0, 20, 100, 500)  # of a query, up to which a forest may be asked
_N_HARD, _N_UNDER_CONDITIONS = 500, 200  # queries of each kind
_LONG_HISTORIES = 0.1  # of the sample


class Condition(NamedTuple):
    """Queries of one kind, and the items that they may find; None for all."""

    name: str
    sample: Sample
    is_allowed: NDArray[np.bool_] | None = None


def most_excluded(
    index: Searcher, exact: Searcher, sample: Sample, target: float
) -> dict[int, int]:
    """Return up to how many exclusions a forest reaches its target, by length of the list.

    -1 where it never does, and where there are no users to measure. What counts are the hardest
    exclusions of that many items, those of the best; real histories up to that length; and users
    who are like a single item each, as new users with a short history are.
    """
    most = dict.fromkeys((SHORT, LONG), -1)
    open_lengths = list(most) if len(sample) else []
    for n in _EXCLUSIONS:
        hard = list(_hard_queries(exact, index, sample, n))
        best = [Counted.of(exact, queries, LONG) for queries in hard]
        open_lengths = [
            length
            for length in open_lengths
            if all(
                Counted.of(index, queries, k).meets(longest.first(k), target)
                for k in _MEASURED[length]
                for queries, longest in zip(hard, best, strict=True)
            )
        ]
        most |= dict.fromkeys(open_lengths, n)
        if not open_lengths:
            break
    return most


def recall_by_condition(
    index: Searcher, exact: Searcher, sample: Sample
) -> dict[str, dict[int, float | None]]:
    """Return the recall under every condition, by its name and the length of the list."""
    found = {}
    for name, queries, is_allowed in _conditions(exact, sample):
        masks = [one.allow(is_allowed) for one in (index, exact)]
        longest = Counted.of(exact, queries, max(LENGTHS), masks[1])
        found[name] = {
            k: Counted.of(index, queries, k, masks[0]).recall(longest.first(k)) for k in LENGTHS
        }
    return found


def _hard_queries(exact: Searcher, index: Searcher, sample: Sample, n: int) -> Iterator[Sample]:
    """Yield queries with n exclusions that leave as much as possible to the forest."""
    users = sample.users[:_N_HARD]
    yield _without_best(n, users, exact)
    if index.n_head:
        is_head = np.zeros(len(exact.items), dtype=np.bool_)
        is_head[exact.codes.row[: index.n_head]] = True
        yield _without_best(n, users, exact, exact.allow(is_head))
    rows = np.linspace(0, len(exact.items) - 1, min(len(users), len(exact.items))).astype(np.intp)
    directions = exact.items[rows]
    yield _without_best(n, np.ascontiguousarray(directions[directions.any(axis=1)]), exact)
    kept = [number for number, seen in enumerate(sample.seen) if len(seen) <= n][:_N_HARD]
    yield Sample(sample.users[kept], [sample.seen[number] for number in kept])


def _without_best(
    n: int, users: NDArray[np.float32], exact: Searcher, allowed: Allowed | None = None
) -> Sample:
    """Return queries that exclude the n best items each, of those allowed."""
    nothing = np.empty(0, dtype=np.int32)
    return Sample(users, [exact.search(user, n, nothing, allowed)[0] for user in users])


def _conditions(exact: Searcher, sample: Sample) -> Iterator[Condition]:
    """Yield the conditions that an index is measured under."""
    n_items = len(exact.items)
    few = Sample(sample.users[:_N_UNDER_CONDITIONS], sample.seen[:_N_UNDER_CONDITIONS])
    yield Condition("all_items", few)
    is_large = np.zeros(n_items, dtype=np.bool_)
    is_large[exact.codes.row[: n_items // 2]] = True  # by norm, which goes with popularity
    yield Condition("popular_barred", few, ~is_large)
    yield Condition("unpopular_barred", few, is_large)
    drawn = np.random.default_rng(0).random(n_items)
    yield Condition("tenth_at_random", few, drawn < 0.1)
    yield Condition("hundredth_at_random", few, drawn < 0.01)
    for n in _EXCLUSIONS[1:]:
        yield Condition(f"best_{n}_excluded", _without_best(n, few.users, exact))
    by_length = np.argsort([-len(seen) for seen in sample.seen], kind="stable")
    longest = by_length[: math.ceil(_LONG_HISTORIES * len(sample))].tolist()
    yield Condition(
        "long_histories", Sample(sample.users[longest], [sample.seen[row] for row in longest])
    )
