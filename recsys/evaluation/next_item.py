"""The next item of each user: leave the last event out, rank all items, repeats as the log has."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.charts import DotPlot
from recsys.base.errors import DataError
from recsys.base.tables import Tabular
from recsys.evaluation.held_out import HeldOut, evaluate_pairs, lengths, pattern
from recsys.evaluation.result import Evaluation
from recsys.logs import Interactions, require_interactions
from recsys.models.protocol import epoch_bar
from recsys.models.requirements import require_fit
from recsys.vectors import Scorer


@dataclass(frozen=True, eq=False, repr=False)
class NextItem(Tabular):
    """What `evaluate_next` found.

    Parameters
    ----------
    evaluation : Evaluation
        Of the users with two events or more; of one relevant item, recall is the hit rate.
    include_seen : bool
        Whether lists held what a user had met before.
    n_repeats : int
        Users whose next item was one of those.
    """

    evaluation: Evaluation
    include_seen: bool
    n_repeats: int

    def to_arrow(self) -> pa.Table:
        """Return one row per metric, as the evaluation does."""
        return self.evaluation.to_arrow()

    def charts(self) -> list[DotPlot]:
        """Return the metrics that are means over users, with their intervals."""
        return self.evaluation.charts()

    def caption(self) -> str:
        """Return the first metrics, and what the lists hold."""
        lists = "lists hold" if self.include_seen else "lists leave out"
        return (
            f"{self.evaluation.caption()}; {lists} what users have met, which is the next item of "
            f"{self.n_repeats:,}"
        )


class _Parts(NamedTuple):
    train: Interactions
    target: sp.csr_array  # of ones, (n_users, n_items): one item of each user who is tested
    n_unknown: int  # users whose item nobody else has


def evaluate_next(
    model: Any,
    log: Interactions,
    k: int | Sequence[int] = 20,
    *,
    include_seen: bool | None = None,
    progress: bool = False,
) -> NextItem:
    """Evaluate a model on the last event of each user, fitted to all the others.

    The protocol of papers on sequences (Kang and McAuley, ICDM 2018), with all items ranked. The
    last event is that of `Interactions.order`, and of those of one time the last row. What others
    do later than a user's last event is in train.

    Parameters
    ----------
    model : model or scorer
        Such as `recsys.SVD(recency=1.0)` or `recsys.KNN()`.
    k : int or sequence of int
        As for `evaluate`.
    include_seen : bool, optional
        Whether a list may hold what the user has met; if not, a user who goes back to an item
        cannot be hit. Default: what gives the better ndcg on the last events but one, for which the
        model is fitted once more.

    Raises
    ------
    ConfigError
        If the model is none.
    DataError
        If the log has no order, or no user has a second event.

    Examples
    --------
    ::

        found = recsys.evaluate_next(recsys.SVD(recency=1.0, window=8), log, k=10)
        print(found.evaluation.metrics["ndcg@10"], found.include_seen)
    """
    require_fit("evaluate_next", model)
    require_interactions("evaluate_next", log)
    ks = lengths(k)
    parts = _without_last(log)
    if include_seen is None:
        before = _without_last(parts.train)
        scorer = _fitted(model, before.train, progress=progress)
        reached = [_measured(scorer, before, ks, seen).metrics for seen in (False, True)]
        include_seen = reached[1][f"ndcg@{ks[-1]}"] > reached[0][f"ndcg@{ks[-1]}"]
    evaluation = _measured(_fitted(model, parts.train, progress=progress), parts, ks, include_seen)
    n_repeats = int(parts.target.multiply(pattern(parts.train.user_items())).sum())
    return NextItem(evaluation, include_seen, n_repeats)


def _fitted(model: Any, train: Interactions, *, progress: bool) -> Scorer:
    with epoch_bar(f"fitting {model.name}", enabled=progress) as on_epoch:
        fitted: Scorer = model.fit(train, on_epoch=on_epoch)
    return fitted


def _without_last(log: Interactions) -> _Parts:
    """Return a log without the last event of each user who has two, and what that was."""
    is_last = _last_events(log)
    train, item_idx = log.select(~is_last), log.item_idx[is_last]
    is_known = np.bincount(train.item_idx, minlength=len(log.items))[item_idx] > 0
    user_idx, item_idx = log.user_idx[is_last][is_known], item_idx[is_known]
    if len(user_idx) == 0:
        raise DataError(
            "evaluate_next: expected a user with two events, the last with an item that others "
            f"have, got none among {len(log):,} events"
        )
    shape = (len(log.users), len(log.items))
    ones = np.ones(len(user_idx), dtype=np.int8)
    target = sp.csr_array((ones, (user_idx, item_idx)), shape=shape)
    return _Parts(replace(train, split_info=None), target, int((~is_known).sum()))


def _last_events(log: Interactions) -> NDArray[np.bool_]:
    order = np.lexsort((np.arange(len(log)), log.when, log.user_idx))
    user = log.user_idx[order]
    ends = np.diff(user, append=-1) != 0
    has_two = np.bincount(log.user_idx, minlength=len(log.users)) > 1
    is_last = np.zeros(len(log), dtype=np.bool_)
    is_last[order[ends & has_two[user]]] = True
    return is_last


def _measured(scorer: Scorer, parts: _Parts, ks: Sequence[int], include_seen: bool) -> Evaluation:
    """Rank all items, or all that users have not met: a target among these is a miss."""
    train, known = (pattern(parts.train.user_items(signed=one)) for one in (False, True))
    seen = sp.csr_array(train.shape, dtype=np.int8) if include_seen else known
    left_out = {"item not in train": parts.n_unknown} if parts.n_unknown else {}
    return evaluate_pairs(scorer, HeldOut(seen, parts.target, train, left_out), ks)
