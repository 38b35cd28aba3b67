"""What indexes are compared on: items, users to ask for, and the true answers."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from benchmarks.splits import SPLITS
from benchmarks.worlds import flat_vectors, tasteful_matrix
from recsys import ALS
from recsys.base.environment import usable_cores
from recsys.errors import DataError
from recsys.index import LONG, Sample
from recsys.vectors import Embeddings, FloatMatrix, FloatVector
from recsys.vectors.vector import unit_rows

N_OTHERS = 1000  # users that a publish measures on
ROUNDING = 1e-6


@dataclass(frozen=True, eq=False)
class World:
    """Items, and users to ask for.

    Parameters
    ----------
    name : str
    items : ndarray of float32, shape (n_items, factors)
    asked : Sample
        The queries.
    others : Sample
        Other users, for our index to choose its settings on.
    n_threads : int
        To build with, where an index can use them.
    """

    name: str
    items: FloatMatrix
    asked: Sample
    others: Sample
    n_threads: int


class Filter(NamedTuple):
    """The items that a query may find, as the different indexes take it: made once for all users.

    Parameters
    ----------
    is_allowed : ndarray of bool, shape (n_items,)
    barred, listed : ndarray of int32, list of int
        The rows of all others.
    share : float
        Of the items that are allowed.
    """

    is_allowed: NDArray[np.bool_]
    barred: NDArray[np.int32]
    listed: list[int]
    share: float

    @classmethod
    def of(cls, is_allowed: NDArray[np.bool_]) -> "Filter":
        """Prepare a filter."""
        barred = np.flatnonzero(~is_allowed).astype(np.int32)
        return cls(is_allowed, barred, barred.tolist(), float(is_allowed.mean()))


class Query(NamedTuple):
    """A user: row among the queries, embedding, what is left out, and that as implicit takes it."""

    number: int
    user: FloatVector
    seen: NDArray[np.int32]
    liked: sp.csr_matrix
    filter: Filter | None = None


def worlds(
    only: str | None, factors_of_gowalla: list[int], n_items: int, n: int
) -> Iterator[World]:
    """Yield what the command line asks for, each made when it is its turn."""
    if only in (None, "gowalla"):
        for factors in factors_of_gowalla:
            try:
                yield gowalla_world(factors, n)
            except DataError as error:
                print(f"Gowalla is not here: {error}")
    if only in (None, "million", "generated"):
        yield generated_world(n_items, n)
    if only in (None, "million", "flat"):
        yield flat_world(n_items, n)
    if only in (None, "million", "units"):
        yield unit_world(n_items, n)


def gowalla_world(factors: int, n: int) -> World:
    """Return ALS vectors of a real log."""
    user_items = SPLITS["gowalla"]().train.user_items()
    embeddings = ALS(factors=factors).fit(user_items)
    return world_of(f"Gowalla, {factors} factors", embeddings, user_items, n, n_threads=1)


def generated_world(n_items: int, n: int) -> World:
    """Return ALS vectors of a generated log of 60 interactions a user."""
    user_items = tasteful_matrix(30 * n_items, n_users=n_items // 2, n_items=n_items)
    embeddings = ALS(factors=64, iterations=10).fit(user_items)
    return world_of("Generated log, 64 factors", embeddings, user_items, n, usable_cores())


def flat_world(n_items: int, n: int) -> World:
    """Return vectors whose norms say little, of users who have seen nothing."""
    embeddings = Embeddings(*flat_vectors(n_items, n + N_OTHERS, 64))
    nothing = sp.csr_array(embeddings.shape, dtype=np.float32)
    return world_of("Clusters, 64 factors", embeddings, nothing, n, usable_cores())


def unit_world(n_items: int, n: int) -> World:
    """Return vectors in clusters at length 1, as distilled ones have it."""
    vectors = map(unit_rows, flat_vectors(n_items, n + N_OTHERS, 64))
    embeddings = Embeddings(*vectors)
    nothing = sp.csr_array(embeddings.shape, dtype=np.float32)
    return world_of("Unit vectors in clusters, 64 factors", embeddings, nothing, n, usable_cores())


def world_of(
    name: str, embeddings: Embeddings, user_items: sp.csr_array, n: int, n_threads: int
) -> World:
    """Draw users to ask for, and others for calibration."""
    users = np.flatnonzero(embeddings.users.any(axis=1))
    users = np.random.default_rng(0).permutation(users)[: n + N_OTHERS]
    starts, item_idx = user_items.indptr, user_items.indices.astype(np.int32)
    seen = [item_idx[starts[user] : starts[user + 1]].copy() for user in users]
    drawn = embeddings.users[users]
    asked, others = Sample(drawn[:n], seen[:n]), Sample(drawn[n:], seen[n:])
    return World(name, embeddings.items, asked, others, n_threads)


def queries_of(
    world: World, asked: Sample | None = None, wanted: Filter | None = None
) -> list[Query]:
    """Return queries, those of the world by default, as all contenders take them."""
    asked = asked or world.asked
    n_items = len(world.items)
    return [
        Query(
            number,
            asked.users[number],
            seen,
            sp.csr_matrix((np.ones(len(seen)), seen, [0, len(seen)]), shape=(1, n_items)),
            wanted,
        )
        for number, seen in enumerate(asked.seen)
    ]


def exact_scores(items: FloatMatrix, queries: list[Query], k: int = LONG) -> NDArray[np.float64]:
    """Return the best scores that each query could find, (n, k), best first, in float64.

    Minus infinity where fewer than k items may be found.
    """
    best = np.empty((len(queries), k))
    for place, query in enumerate(queries):
        scores = items @ query.user
        scores[query.seen] = -np.inf
        if query.filter is not None:
            scores[query.filter.barred] = -np.inf
        rows = np.argpartition(scores, -2 * k)[-2 * k :]
        exact = items[rows].astype(np.float64) @ query.user
        exact[np.isneginf(scores[rows])] = -np.inf
        best[place] = np.sort(exact)[::-1][:k]
    return best


def n_hits(
    items: FloatMatrix, rows: NDArray[np.integer], query: Query, best: NDArray[np.float64]
) -> int:
    """Return how many of the rows, each once and none of them barred, are among the best."""
    rows = np.setdiff1d(rows.astype(np.int64), query.seen)
    if query.filter is not None:
        rows = rows[query.filter.is_allowed[rows]]
    best = best[np.isfinite(best)]
    if len(best) == 0:
        return 0
    scores = items[rows].astype(np.float64) @ query.user
    return int((scores >= best[-1] - ROUNDING * np.abs(best).max()).sum())
