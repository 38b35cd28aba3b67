"""Strong generalization: users that training never saw, known by a part of what they did."""

from dataclasses import replace
from typing import NamedTuple

import numpy as np

from recsys.errors import ConfigError, DataError
from recsys.logs.held_out import over_items_of
from recsys.logs.interactions import Interactions, Part, used_rows
from recsys.logs.roles import roles_of_halves
from recsys.logs.split import drawn_of_each_user


class HeldOutUsers(NamedTuple):
    """A log whose test users are not in train (Liang et al., WWW 2018, arXiv 1802.05814).

    Parameters
    ----------
    train : Interactions
        All events of the other users.
    history : Interactions
        What is known of the held-out users, to be folded in; over the items of train.
    test : Interactions
        What they did besides, over the same users and items as `history`.
    """

    train: Interactions
    history: Interactions
    test: Interactions


def split_users(
    log: Interactions,
    *,
    user_fraction: float = 0.1,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> HeldOutUsers:
    """Hold out users, and a random share of the items of each of them.

    Parameters
    ----------
    log : Interactions
    user_fraction : float
        Share of the users to hold out, between 0 and 1.
    test_fraction : float
        Share of the items of a held-out user that are test, between 0 and 1; one at least is
        history.
    seed : int
        The same seed gives the same split.

    Returns
    -------
    HeldOutUsers
        Items that no user of train has are left out and counted in ``test.account.left_out``.

    Raises
    ------
    DataError
        If a part would be empty.
    ConfigError
        If a fraction is not between 0 and 1.

    Examples
    --------
    ::

        held_out = recsys.split_users(log)
        recsys.evaluate_held_out(model, held_out, k=20)
        to_choose_on = recsys.split_users(held_out.train)  # for validation, see `Part`
    """
    for name, share in (("user_fraction", user_fraction), ("test_fraction", test_fraction)):
        if not 0 < share < 1:
            raise ConfigError(f"split_users: expected {name} between 0 and 1, got {share}")
    rng = np.random.default_rng(seed)
    n_users = len(log.users)
    is_held = np.zeros(n_users, dtype=np.bool_)
    is_held[rng.permutation(n_users)[: round(user_fraction * n_users)]] = True
    of_held = is_held[log.user_idx]
    train = log.select(~of_held).compact()
    _, item_row_of = used_rows(log.item_idx[~of_held], len(log.items))  # as compact() numbers them
    held = over_items_of(train, log.select(of_held), item_row_of)
    in_test = drawn_of_each_user(held, test_fraction, rng)
    role, held_role = roles_of_halves(log.part.role if log.part else None)
    parts = HeldOutUsers(
        train=replace(train, part=Part(role, "users")),
        history=replace(held.select(~in_test), part=Part("history", "users")),
        test=replace(held.select(in_test), part=Part(held_role, "users")),
    )
    for name, part in parts._asdict().items():
        if len(part) == 0:
            raise DataError(
                f"split_users: expected events in every part, got none in {name}; take other "
                "fractions, or a log with more users and more items per user"
            )
    return parts
