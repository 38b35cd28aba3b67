"""Warm, cold and mixed catalogues: how good lists are where items are new.

Train does not know the new items; what scores them knows their attributes alone. The warm catalogue
is that of train, as `evaluate` measures it. In the cold one the new items alone are ranked, against
the held-out events with them, and in the mixed one all items, against all held-out events.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.charts import DotPlot
from recsys.base.errors import DataError
from recsys.base.tables import Tabular
from recsys.evaluation.evaluate import likes_of, matrices
from recsys.evaluation.held_out import (
    NOT_DRAWN,
    HeldOut,
    dislikes_of,
    drawn,
    evaluate_pairs,
    left_out_by_split,
    lengths,
    pattern,
)
from recsys.evaluation.result import Evaluation
from recsys.logs import Interactions, require_interactions
from recsys.settings import EvaluationSettings
from recsys.splits.common import Split
from recsys.splits.leaks import (
    require_disjoint,
    require_known_items,
    require_new_items,
    require_roles,
    require_time_order,
)
from recsys.vectors import Embeddings, FloatMatrix, Scorer

CATALOGUES = ("warm", "cold", "mixed")
_OF_CATALOGUE = {"cold": "new items", "mixed": "all items"}


@dataclass(frozen=True, eq=False, repr=False)
class Catalogues(Tabular):
    """The evaluations of one model on three catalogues of one split.

    Parameters
    ----------
    warm : Evaluation
        The items of train, for the users with test events of these.
    cold : Evaluation
        The new items alone, for the users with events of these.
    mixed : Evaluation
        All items, for both kinds of users.
    """

    warm: Evaluation
    cold: Evaluation
    mixed: Evaluation

    def __iter__(self) -> Iterator[tuple[str, Evaluation]]:
        """Yield the name of each catalogue and its evaluation."""
        return ((name, getattr(self, name)) for name in CATALOGUES)

    def to_arrow(self) -> pa.Table:
        """Return one row per catalogue and metric: its value, and the ends of its interval."""
        tables = []
        for name, one in self:
            table = one.to_arrow()
            of = pa.array([name] * len(table), pa.string())
            tables.append(table.add_column(0, "catalogue", of))
        return pa.concat_tables(tables)

    def charts(self) -> list[DotPlot]:
        """Return a chart of each catalogue."""
        return [chart for _, one in self for chart in one.charts()]

    def caption(self) -> str:
        """Return the first metrics of each catalogue."""
        return "; ".join(f"{name}: {one.caption()}" for name, one in self)

    def to_dict(self) -> dict[str, Any]:
        """Return all but the values per user, as plain types that JSON can hold."""
        return {name: one.to_dict() for name, one in self}

    def __str__(self) -> str:
        return "\n\n".join(f"{name} catalogue\n{one}" for name, one in self)


def evaluate_new_items(
    scorer: Scorer,
    train: Interactions,
    test: Interactions,
    k: int | Sequence[int] = 20,
    *,
    most_users: int | None = None,
    seed: int = 0,
    progress: bool = False,
) -> Catalogues:
    """Evaluate lists of warm, cold and mixed catalogues, by exact scores of all their items.

    Parameters
    ----------
    scorer : Embeddings or Scorer
        One row per user of train; items are those of train, then those of
        ``test.split_info.new_items``, in these orders.
    train, test : Interactions
        As `recsys.split_items` or `recsys.split_by_time` return them.
    k, most_users, seed, progress
        As for `evaluate`; users are drawn for each catalogue.

    Returns
    -------
    Catalogues
        In the cold catalogue a user's relevant items are the new ones alone, and in the mixed one
        all held-out ones: recall and ndcg are over those. For novelty and the like, nobody of
        train has a new item.

    Raises
    ------
    DataError
        If the split left no new items, train holds one of them, or the scorer has other rows; and
        where something leaked, as for `evaluate`.

    Examples
    --------
    ::

        train, test = recsys.split_items(log)
        found = recsys.evaluate_new_items(embeddings, train, test)
        print(found.cold.metrics["recall@20"], found.cold.intervals["recall@20"])
    """
    what = "evaluate_new_items"
    require_interactions(what, train, test)
    new_items = new_items_of(test, what)
    ks = lengths(k)
    seen, relevant = matrices(train, test)
    _require_one_split(train, new_items, what)
    require_roles(train, test, what)
    require_time_order(train, test, what)
    require_disjoint(seen, relevant, what)
    require_known_items(seen, relevant, what)
    n_warm, n_cold = len(train.items), len(new_items.items)
    _require_shape(scorer, (len(train.users), n_warm + n_cold), what)
    of_new = pattern(new_items.user_items())
    nothing = sp.csr_array(of_new.shape, dtype=np.int8)
    likes = likes_of(train, seen)
    disliked, of_new_disliked = dislikes_of(test), dislikes_of(new_items)
    left_out = left_out_by_split(test)
    left_out.pop("test items not in train", None)  # they are what is measured
    parts = {
        "warm": (slice(0, n_warm), HeldOut(seen, relevant, likes, left_out, disliked)),
        "cold": (
            slice(n_warm, n_warm + n_cold),
            HeldOut(nothing, of_new, nothing, left_out, of_new_disliked),
        ),
        "mixed": (
            slice(0, n_warm + n_cold),
            HeldOut(
                _beside(seen, nothing),
                _beside(relevant, of_new),
                _beside(likes, nothing),
                left_out,
                _dislikes_beside((disliked, seen.shape), (of_new_disliked, of_new.shape)),
            ),
        ),
    }
    found = {}
    for name, (columns, pairs) in parts.items():
        own_left_out, wanted = dict(left_out), pairs.relevant
        if name != "warm":
            own_left_out.pop("test events: item not in train", None)
        if most_users is not None:
            wanted, n_others = drawn(wanted, most_users, seed)
            own_left_out |= {NOT_DRAWN: n_others} if n_others else {}
        pairs = replace(pairs, relevant=wanted, left_out=own_left_out)
        found[name] = evaluate_pairs(_columns_of(scorer, columns), pairs, ks, progress=progress)
    return Catalogues(**found)


def _beside(of_warm: sp.csr_array, of_new: sp.csr_array) -> sp.csr_array:
    """Return pairs of the items of train and of the new ones as those of all."""
    return sp.csr_array(sp.hstack([of_warm, of_new], format="csr"))


def _dislikes_beside(
    *parts: tuple[sp.csr_array | None, tuple[int, int]],
) -> sp.csr_array | None:
    """Return what was disliked of all items; None where it is of neither part."""
    if all(one is None for one, _ in parts):
        return None
    return _beside(*(sp.csr_array(of, dtype=np.int8) if one is None else one for one, of in parts))


def of_other_catalogues(
    name: str, found: Embeddings, of_new: FloatMatrix, split: Split, settings: EvaluationSettings
) -> dict[str, Evaluation]:
    """Evaluate a model on new items alone and on all, by the names that a version keeps.

    `of_new` are the vectors of the new items of the split.
    """
    whole = Embeddings(found.users, np.vstack([found.items, of_new]))
    drawn_users, seed = settings.max_users, settings.seed
    tested = evaluate_new_items(whole, *split, settings.k, most_users=drawn_users, seed=seed)
    return {on_catalogue(name, one): tested_on for one, tested_on in tested if one != "warm"}


def on_catalogue(model: str, catalogue: str) -> str:
    """Return the name of an evaluation among those of a version: that of the model if warm.

    Examples
    --------
    >>> on_catalogue("als", "warm"), on_catalogue("als", "cold"), on_catalogue("als", "mixed")
    ('als', 'als, new items', 'als, all items')
    """
    what = _OF_CATALOGUE.get(catalogue)
    return model if what is None else f"{model}, {what}"


def new_items_of(test: Interactions, what: str) -> Interactions:
    """Return the held-out events of items that train does not know; a DataError without any."""
    found = None if test.split_info is None else test.split_info.new_items
    if found is None:
        raise DataError(
            f"{what}: expected a test part with items that train does not know, got none; hold "
            "items out with split_items, or split by time"
        )
    return found


def _require_one_split(train: Interactions, new_items: Interactions, what: str) -> None:
    if train.users is not new_items.users and train.users != new_items.users:
        raise DataError(
            f"{what}: expected the new items over the {len(train.users):,} users of train, got "
            f"{len(new_items.users):,} that are not the same; pass the parts of one split"
        )
    require_new_items(train, new_items, what)


def _require_shape(scorer: Scorer, expected: tuple[int, int], what: str) -> None:
    got = tuple(getattr(scorer, "shape", ()))
    if got != expected:
        raise DataError(
            f"{what}: expected scores of {expected[0]:,} users and of {expected[1]:,} items, those "
            f"of train and then the new ones, got {got or type(scorer).__name__}"
        )


def _columns_of(scorer: Scorer, columns: slice) -> Scorer:
    if isinstance(scorer, Embeddings):
        return Embeddings(scorer.users, scorer.items[columns])
    return _SomeItems(scorer, columns)


@dataclass(frozen=True)
class _SomeItems:
    """The scores of some of the items of a scorer."""

    scorer: Scorer
    columns: slice

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of these items."""
        return self.scorer.shape[0], self.columns.stop - self.columns.start

    def scores(self, user_idx: NDArray[np.integer], out: FloatMatrix | None = None) -> FloatMatrix:
        """Return the scores of these items for some users."""
        found: FloatMatrix = np.ascontiguousarray(self.scorer.scores(user_idx)[:, self.columns])
        if out is None:
            return found
        out[:] = found
        return out
