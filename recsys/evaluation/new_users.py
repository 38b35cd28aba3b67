"""Users that training did not see: folded in from a history, or given what is popular."""

from collections.abc import Sequence

import numpy as np
import scipy.sparse as sp

from recsys.base.errors import DataError
from recsys.evaluation.evaluate import matrices
from recsys.evaluation.held_out import HeldOut, left_out_by_split, lengths, measure, pattern
from recsys.evaluation.result import Evaluation
from recsys.logs import Interactions
from recsys.models import Model, popularity_of
from recsys.models.protocol import epoch_bar, mean_weight_of
from recsys.splits import HeldOutUsers
from recsys.splits.leaks import (
    require_disjoint,
    require_known_users,
    require_roles,
    require_strangers,
)
from recsys.vectors import Embeddings

POPULAR_HALF_LIFE_DAYS = 30.0


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
    k : int or sequence of int
        Length of the lists, at least 1.
    progress : bool
        Show bars, if stderr is a terminal.

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
        items = model.fit(user_items, on_epoch=on_epoch).items
    embed = model.fold_in(items, popularity_of(user_items), mean_weight_of(user_items))
    users = embed(history.user_items())
    pairs = HeldOut(seen, relevant, pattern(user_items), left_out_by_split(test))
    return measure(Embeddings(users, items), pairs, ks, progress=progress)


def evaluate_new_users(
    train: Interactions,
    test: Interactions,
    k: int | Sequence[int] = 20,
    *,
    popular_half_life_days: float = POPULAR_HALF_LIFE_DAYS,
) -> Evaluation:
    """Evaluate what users get that train does not know: the popular list, as serving has it.

    `evaluate` measures the users who came back; this measures the others, whom a split by time
    leaves out under "user not in train". The two together are what all users get.

    Parameters
    ----------
    train, test : Interactions
        As a split returns them; `test` keeps the events of its new users in ``test.split_info``.
    k : int or sequence of int
        Length of the lists, at least 1.
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
    return measure(Embeddings(everyone, popularity[:, None]), pairs, ks)


def _require_items(train: Interactions, other: Interactions, what: str) -> None:
    if train.items is not other.items and train.items != other.items:
        raise DataError(
            f"{what}: expected the other users over the {len(train.items):,} items of train, got "
            f"{len(other.items):,} that are not the same; pass the parts of one split"
        )
