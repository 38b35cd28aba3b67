"""Protocols beside one split: folds, users that training did not see, and new users."""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from recsys.base.charts import Dot, DotPlot
from recsys.base.errors import DataError, briefly
from recsys.base.tables import Tabular, table_of
from recsys.evaluation.evaluate import evaluate, matrices
from recsys.evaluation.held_out import (
    HeldOut,
    dislikes_of,
    evaluate_pairs,
    left_out_by_split,
    lengths,
    pattern,
)
from recsys.evaluation.metrics import FloatArray
from recsys.evaluation.result import Evaluation
from recsys.logs import Interactions, require_interactions
from recsys.models import Model, popularity_of
from recsys.models.protocol import epoch_bar, mean_weight_of, recency_of
from recsys.models.requirements import as_taken, require_model
from recsys.splits import HeldOutUsers
from recsys.splits.common import Split
from recsys.splits.leaks import (
    require_disjoint,
    require_known_users,
    require_roles,
    require_strangers,
)
from recsys.vectors import Embeddings

_POPULAR_HALF_LIFE_DAYS = 30.0
_USE_FOLDS = "use recsys.split_folds"


@dataclass(frozen=True, eq=False, repr=False)
class Folds(Tabular):
    """The evaluations of one model on every fold, in order; a DataError if there are not two."""

    evaluations: tuple[Evaluation, ...]

    def __post_init__(self) -> None:
        if len(self.evaluations) < 2:
            raise DataError(
                f"folds: expected two folds or more, got {len(self.evaluations)}; use split_folds"
            )

    def values(self, metric: str) -> FloatArray:
        """Return a metric on each fold, (n_folds,); a DataError if there is no such metric."""
        known = self.evaluations[0].metrics
        if metric not in known:
            raise DataError(f"folds: expected one of {', '.join(known)}, got {briefly(metric)}")
        return np.array([one.metrics[metric] for one in self.evaluations])

    @property
    def means(self) -> Mapping[str, float]:
        """The mean of each metric over the folds."""
        return {name: float(self.values(name).mean()) for name in self.evaluations[0].metrics}

    @property
    def deviations(self) -> Mapping[str, float]:
        """The standard deviation of each metric over the folds (denominator n - 1).

        It measures how far one split is from another. It is no standard error: the train parts of
        folds overlap, and no unbiased estimate of the variance of their mean exists (Bengio and
        Grandvalet, JMLR 2004). To say that a model is better than another, compare them user by
        user on one split.
        """
        return {name: float(self.values(name).std(ddof=1)) for name in self.evaluations[0].metrics}

    def to_arrow(self) -> pa.Table:
        """Return one row per metric: metric, mean, deviation, and its value on each fold."""
        deviations = self.deviations
        return table_of(
            {"metric": name, "mean": mean, "deviation": deviations[name]}
            | {f"fold {n}": one.metrics[name] for n, one in enumerate(self.evaluations, start=1)}
            for name, mean in self.means.items()
        )

    def charts(self) -> list[DotPlot]:
        """Return the means of 0 to 1 of the metrics, and how far folds are from them."""
        dots = [
            Dot(name, mean, (mean - self.deviations[name], mean + self.deviations[name]))
            for name, mean in self.means.items()
            if 0 <= mean <= 1
        ]
        return [DotPlot("mean and deviation over folds", dots, starts_at_zero=True)]

    def caption(self) -> str:
        """Return how many folds there are."""
        return f"{len(self.evaluations)} folds; the deviation is over them"

    def to_dict(self) -> dict[str, Any]:
        """Return means, deviations and each fold as plain types that JSON can hold."""
        return {
            "n_folds": len(self.evaluations),
            "means": dict(self.means),
            "deviations": dict(self.deviations),
            "folds": [one.to_dict() for one in self.evaluations],
        }

    def __str__(self) -> str:
        means, deviations = self.means, self.deviations
        width = max(len(name) for name in means)
        lines = [f"{'metric':<{width}}    mean   deviation over {len(self.evaluations)} folds"]
        lines += [
            f"{name:<{width}}  {means[name]:6.4f}   {deviations[name]:6.4f}" for name in means
        ]
        return "\n".join(lines)


def evaluate_folds(
    model: Model,
    folds: Iterable[Split],
    k: int | Sequence[int] = 20,
    *,
    progress: bool = False,
) -> Folds:
    """Fit a model on the train part of every fold, and evaluate it on the other.

    Parameters
    ----------
    folds : iterable of (train, test)
        As `recsys.split_folds` yields them; each is let go before the next is made.
    k, progress
        As for `evaluate`.

    Raises
    ------
    DataError
        If there are fewer than two folds, or one of them cannot be evaluated.

    Examples
    --------
    ::

        print(recsys.evaluate_folds(recsys.ALS(), recsys.split_folds(log, 5), k=20))
    """
    require_model("evaluate_folds", model)
    if not isinstance(folds, Iterable):
        raise DataError(f"evaluate_folds: expected folds, got {type(folds).__name__}; {_USE_FOLDS}")
    evaluations = []
    for number, fold in enumerate(folds, start=1):
        if not isinstance(fold, tuple) or len(fold) != 2:
            raise DataError(
                f"evaluate_folds: expected pairs of train and test, got {type(fold).__name__}; "
                f"{_USE_FOLDS}"
            )
        train, test = fold
        require_interactions("evaluate_folds", train, test)
        what = f"fitting {model.name}, fold {number}"
        with epoch_bar(what, enabled=progress) as on_epoch:
            embeddings = model.fit(train, on_epoch=on_epoch)
        evaluations.append(evaluate(embeddings, train, test, k, progress=progress))
    return Folds(tuple(evaluations))


def evaluate_held_out(
    model: Model,
    held_out: HeldOutUsers,
    k: int | Sequence[int] = 20,
    *,
    progress: bool = False,
) -> Evaluation:
    """Evaluate a model on users that it never saw: strong generalization (Liang et al., WWW 2018).

    The model is fitted on the other users, embeds each held-out user from the user's history
    (`fold_in`), and ranks all items but those of the history; the user's test items are the
    relevant ones.

    Parameters
    ----------
    held_out : HeldOutUsers
        As `recsys.split_users` returns them.
    k, progress
        As for `evaluate`.

    Returns
    -------
    Evaluation
        Of the held-out users: ``user_idx`` are rows of ``held_out.test.users``. For novelty and
        the like, an item is as popular as it is among the users of train.

    Raises
    ------
    DataError
        If a held-out user is in train, history and test have a pair in common, the three parts are
        not over the same items, or k is less than 1.

    Examples
    --------
    ::

        held_out = recsys.split_users(log, user_fraction=0.1)
        choose_on = recsys.split_users(held_out.train)  # its held-out part is for validation
        print(recsys.evaluate_held_out(recsys.ALS(), held_out, k=20))
    """
    require_model("evaluate_held_out", model)
    if not isinstance(held_out, HeldOutUsers):
        raise DataError(
            f"evaluate_held_out: expected HeldOutUsers, got {type(held_out).__name__}; use "
            "recsys.split_users"
        )
    train, history, test = held_out
    ks = lengths(k)
    seen, relevant = matrices(history, test)
    _require_items(train, history, "evaluate_held_out")
    require_strangers(train, history, "evaluate_held_out")
    require_roles(history, test, "evaluate_held_out")
    require_disjoint(seen, relevant, "evaluate_held_out")
    require_known_users(seen, relevant, "evaluate_held_out")
    user_items = train.user_items()
    with epoch_bar(f"fitting {model.name}", enabled=progress) as on_epoch:
        found = model.fit(train, on_epoch=on_epoch)
    embed = model.fold_in(
        found.items, popularity_of(user_items), mean_weight_of(user_items), found.summands
    )
    users = embed(as_taken(model, history.user_items(recency_of(model), signed=True)))
    left_out, disliked = left_out_by_split(test), dislikes_of(test)
    pairs = HeldOut(seen, relevant, pattern(user_items), left_out, disliked)
    return evaluate_pairs(Embeddings(users, found.items), pairs, ks, progress=progress)


def evaluate_new_users(
    train: Interactions,
    test: Interactions,
    k: int | Sequence[int] = 20,
    *,
    popular_half_life_days: float = _POPULAR_HALF_LIFE_DAYS,
) -> Evaluation:
    """Evaluate what users get that train does not know: the popular list, as serving has it.

    `evaluate` measures the users who came back; this measures the others, whom a split by time
    leaves out under "user not in train". The two together are what all users get.

    Parameters
    ----------
    train, test : Interactions
        As a split returns them; `test` keeps the events of its new users in ``test.split_info``.
    k : int or sequence of int
        As for `evaluate`.
    popular_half_life_days : float
        As in `recsys.LogSettings`; where train has no time, all its users count alike.

    Returns
    -------
    Evaluation
        Of the new users: ``user_idx`` are rows of ``test.split_info.new_users.users``. New users
        with new items alone cannot be served and are not among them; their events are in
        `left_out`.

    Raises
    ------
    DataError
        If the split left no new users, or train is not that of the split.

    Examples
    --------
    ::

        train, test = recsys.split_by_time(log)
        print(recsys.evaluate(embeddings, train, test))
        print(recsys.evaluate_new_users(train, test))
    """
    require_interactions("evaluate_new_users", train, test)
    new_users = None if test.split_info is None else test.split_info.new_users
    if new_users is None:
        raise DataError(
            "evaluate_new_users: expected a test part with users that train does not know, got "
            "none; evaluate measures all its users, or split by time"
        )
    ks = lengths(k)
    _require_items(train, new_users, "evaluate_new_users")
    require_strangers(train, new_users, "evaluate_new_users")
    relevant = pattern(new_users.user_items())
    user_items = train.user_items()
    popularity = train.recent_popularity(popular_half_life_days)
    if popularity is None:
        popularity = popularity_of(user_items).astype(np.float32)
    everyone = np.ones((len(new_users.users), 1), dtype=np.float32)  # (n_users, 1)
    nothing = sp.csr_array(relevant.shape, dtype=np.int8)
    pairs = HeldOut(nothing, relevant, pattern(user_items), left_out_by_split(new_users))
    return evaluate_pairs(Embeddings(everyone, popularity[:, None]), pairs, ks)


def _require_items(train: Interactions, other: Interactions, what: str) -> None:
    if train.items is not other.items and train.items != other.items:
        raise DataError(
            f"{what}: expected the other users over the {len(train.items):,} items of train, got "
            f"{len(other.items):,} that are not the same; pass the parts of one split"
        )
