"""Each user in few audiences: the pairs of items and users taken by their scores, the best first.

What is wanted is the greedy assignment: all pairs in one order, by score, then by the place of the
item, then by the row of the user; a pair is taken if the item has fewer than k users and the user
fewer than so many items. It is reached without sorting all pairs, as by Gale and Shapley (1962):
items offer themselves to their best users, these keep the best offers that they may, and items go
on with the next users. Where both sides rank pairs by one order, the stable result is one alone,
the greedy one.
"""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.serving.rules import NO_ITEMS
from recsys.vectors import FloatVector

UserRows = NDArray[np.int32]


class Suited(NamedTuple):
    """Users whom an item suits, best first, and its standing with them."""

    rows: UserRows
    standing: FloatVector


NO_SCORES = np.empty(0, np.float32)
Deeper = Callable[[list[int], int], Sequence[Suited]]
"""Returns the best n users of the items at some places; fewer only where there are no more."""

DEEPER = 4  # times as many users as an item lacks or has, so that few passes over users are needed


class _Pairs(NamedTuple):
    item: NDArray[np.int32]  # by its place
    user: UserRows
    score: FloatVector

    def take(self, rows: NDArray[np.generic]) -> "_Pairs":
        return _Pairs(self.item[rows], self.user[rows], self.score[rows])

    def with_others(self, others: "_Pairs") -> "_Pairs":
        return _Pairs(*(np.concatenate(pair) for pair in zip(self, others, strict=True)))


_NONE = _Pairs(NO_ITEMS, NO_ITEMS, NO_SCORES)


def assigned(
    lists: Sequence[Suited], k: int, per_user: int, n_users: int, deeper: Deeper
) -> list[Suited]:
    """Return the audience of each item, no user in more than `per_user` of them.

    Parameters
    ----------
    lists : sequence of Suited
        The best users of each item: all there are, or enough to begin with.
    deeper : callable
        Asked where an item needs more of them.
    """
    known, offered, is_whole = list(lists), [0] * len(lists), [False] * len(lists)
    held = _NONE
    while True:
        lacking = k - np.bincount(held.item, minlength=len(lists))
        ends = {
            place: offered[place] + int(lacking[place])
            for place in np.flatnonzero(lacking > 0).tolist()
        }
        short = [
            place
            for place, end in ends.items()
            if end > len(known[place].rows) and not is_whole[place]
        ]
        if short:
            n = max(max(ends[place], DEEPER * len(known[place].rows)) for place in short)
            for place, found in zip(short, deeper(short, n), strict=True):
                known[place], is_whole[place] = _longer(known[place], found), len(found.rows) < n
        offers = [_NONE]
        for place, end in ends.items():
            some = slice(offered[place], end)
            rows, scores = known[place].rows[some], known[place].standing[some]
            offers.append(_Pairs(np.full(len(rows), place, np.int32), rows, scores))
            offered[place] += len(rows)
        together = _Pairs(*map(np.concatenate, zip(*offers, strict=True)))
        if len(together.user) == 0:
            break
        held = _kept(held, together, per_user, n_users)
    order = np.lexsort((held.user, -held.score, held.item))
    cuts = np.cumsum(np.bincount(held.item, minlength=len(lists)))[:-1]
    of_items = zip(np.split(held.user[order], cuts), np.split(held.score[order], cuts), strict=True)
    return [Suited(users, scores) for users, scores in of_items]


def _longer(known: Suited, found: Suited) -> Suited:
    """Return a longer list that begins with the one that is known."""
    is_new = ~np.isin(found.rows, known.rows)  # scores of another product may differ in a last bit
    return Suited(
        np.append(known.rows, found.rows[is_new]),
        np.append(known.standing, found.standing[is_new]),
    )


def _kept(held: _Pairs, offers: _Pairs, per_user: int, n_users: int) -> _Pairs:
    """Return what users keep: of those with new offers the best, of all others what they held."""
    has_offer = np.zeros(n_users, np.bool_)
    has_offer[offers.user] = True
    is_asked = has_offer[held.user]
    asked = held.take(is_asked).with_others(offers)
    order = np.lexsort((asked.item, -asked.score, asked.user))
    user = asked.user[order]
    starts = np.flatnonzero(np.diff(user, prepend=-1))
    rank = np.arange(len(user)) - np.repeat(starts, np.diff(np.append(starts, len(user))))
    return held.take(~is_asked).with_others(asked.take(order[rank < per_user]))
