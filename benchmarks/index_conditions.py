"""Recall and time of indexes under conditions: `python -m benchmarks.index --conditions`.

A condition is a mask over the items (a half barred, by popularity or at random; a tenth or a
hundredth allowed), more exclusions (the best 500, as if shown already), only users with long
histories, or another length of the list. Each peer is filtered as its users do it; see
`benchmarks.index_peers`. A peer has the first setting of its curve that finds .98 of ordinary
lists of 20, or else its last: what the same setting then finds under each condition is the point.
"""

from typing import NamedTuple

import numpy as np

from benchmarks.index_peers import Built, Contender, timed
from benchmarks.index_worlds import Filter, Query, World, exact_scores, n_hits, queries_of
from recsys.index import SHORT, Sample, Searcher
from recsys.vectors import FloatMatrix

TARGET = 0.98
LENGTHS = (1, 100, 1000)


class Condition(NamedTuple):
    """Queries of one kind, the length of their lists, and the best scores of each, (n, k)."""

    name: str
    k: int
    queries: list[Query]
    best: np.ndarray[tuple[int, int], np.dtype[np.float64]]


def conditions_of(world: World) -> list[Condition]:
    """Return the ordinary lists of 20, and then those under conditions."""
    items, asked = world.items, world.asked
    n_items = len(items)
    order = np.argsort(-np.linalg.norm(items, axis=1), kind="stable")
    is_large = np.zeros(n_items, dtype=np.bool_)
    is_large[order[: n_items // 2]] = True
    drawn = np.random.default_rng(0).random(n_items)
    found = [_condition("all items", SHORT, world, asked)]
    for name, is_allowed in {
        "popular half barred": ~is_large,
        "unpopular half barred": is_large,
        "half at random": drawn < 0.5,
        "tenth at random": drawn < 0.1,
        "hundredth at random": drawn < 0.01,
    }.items():
        found.append(_condition(name, SHORT, world, asked, Filter.of(is_allowed)))
    exact = Searcher.of(items)
    shown = [
        np.union1d(exact.search(user, 500, seen)[0], seen).astype(np.int32)
        for user, seen in zip(asked.users, asked.seen, strict=True)
    ]
    found.append(_condition("best 500 excluded", SHORT, world, Sample(asked.users, shown)))
    longest = np.argsort([-len(seen) for seen in asked.seen], kind="stable")
    all_queries = queries_of(world)
    queries = [all_queries[row] for row in longest[: max(1, len(asked) // 10)].tolist()]
    best = exact_scores(items, queries, SHORT)
    found.append(Condition("long histories", SHORT, queries, best))
    return [*found, *(_condition(f"k = {k}", k, world, asked) for k in LENGTHS)]


def _condition(
    name: str, k: int, world: World, asked: Sample, wanted: Filter | None = None
) -> Condition:
    queries = queries_of(world, asked, wanted)
    return Condition(name, k, queries, exact_scores(world.items, queries, k))


def row_of(
    name: str, contender: Contender, built: Built, items: FloatMatrix, conditions: list[Condition]
) -> str:
    """Return the row of an index: recall and median microseconds under each condition."""
    for value in contender.values:
        if _recall(conditions[0], items, built, value)[0] >= TARGET:
            break
    cells = [_recall(condition, items, built, value) for condition in conditions]
    setting = f"{contender.setting} {value}" if contender.setting else built.note
    told = (f"{recall:.3f} / {1e6 * seconds:.0f}" for recall, seconds in cells)
    return f"| {name} | {setting} | {' | '.join(told)} |"


def _recall(
    condition: Condition, items: FloatMatrix, built: Built, value: int
) -> tuple[float, float]:
    """Return the recall and the median of seconds."""
    lists, seconds = timed(built.ask, condition.queries, condition.k, value)
    hits = sum(
        n_hits(items, rows, query, best)
        for rows, query, best in zip(lists, condition.queries, condition.best, strict=True)
    )
    return hits / int(np.isfinite(condition.best).sum()), float(np.median(seconds))
