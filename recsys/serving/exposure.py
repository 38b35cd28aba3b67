"""How new items come into a list: so many of them as a share allows, with some exploration."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

from recsys.base.rule_settings import NewItems
from recsys.serving.attributes import Apart, within_limits
from recsys.serving.rules import BoostedItems, RowScores, Scored
from recsys.vectors import FloatVector

if TYPE_CHECKING:
    from recsys.serving.request import Request

_DRAWN_FROM = 1000  # new items, those with the best scores; more where the list takes more

Placed = tuple[int, Scored]
"""A position, from 1, and what has it."""


@dataclass(frozen=True, eq=False)
class Exposure:
    """The places that new items have in a list, and which of them.

    Parameters
    ----------
    rule : NewItems
    day : str
        What is drawn changes with it.
    apart : Apart
        The items of the request: all, the new ones and the others.
    boosts : BoostedItems, optional
        The new items, parted by how their scores are boosted.
    """

    rule: NewItems
    day: str
    apart: Apart
    boosts: BoostedItems | None = None

    def placed(
        self,
        find: Callable[[int], RowScores],
        request: "Request",
        pins: Sequence[Placed],
        who: bytes,
    ) -> list[Placed]:
        """Return the new items of a list, with their positions.

        Parameters
        ----------
        find : callable
            Returns the best n new items that may be in the list.
        request : Request
            Of the list; its `pinned` are the items of `pins`.
        who : bytes
            Whose list it is: what is drawn is the same for the same bytes and day.
        """
        n_pinned = int(self.apart.new.is_matching[request.pinned].sum())
        places = self._places(request.k, {position for position, _ in pins}, n_pinned)
        if not places:
            return []
        n = max(_DRAWN_FROM, len(places))
        while True:
            rows, scores = find(n)
            order = self._drawn(scores, who)
            if request.limits:
                fits = within_limits(rows[order], request.limits, len(places), request.pinned)
                order = order[fits]
            if len(order) >= len(places) or len(rows) < n:
                break
            n *= 2  # nearly all are of groups that are full
        chosen = (Scored(int(rows[one]), float(scores[one])) for one in order.tolist())
        return list(zip(places, chosen, strict=False))

    def _places(self, k: int, taken: Iterable[int], n_pinned: int) -> list[int]:
        """Return the places of new items in a list of k, from 1, those of pins left out.

        In place of one that is taken comes the next, so that no beginning of the list has more
        than its share; new items that are pinned count.
        """
        free: list[int] = []
        is_taken = set(taken)
        for place in self.rule.places(k)[n_pinned:]:
            place = max(place, free[-1] + 1 if free else place)
            while place in is_taken:
                place += 1
            free.append(place)
        return [place for place in free if place <= k]

    def _drawn(self, scores: FloatVector, who: bytes) -> NDArray[np.intp]:
        """Return the order in which items are taken: by score, with Gumbel noise.

        It is that of draws without replacement, each in proportion to ``exp(score / temperature)``
        (Kool, van Hoof and Welling, ICML 2019).
        """
        keys = np.asarray(scores, np.float64)
        if self.rule.exploration and len(keys):
            temperature = self.rule.exploration * float(np.std(keys))
            digest = blake2b(who + self.day.encode(), digest_size=8).digest()
            noise = np.random.default_rng(int.from_bytes(digest)).gumbel(size=len(keys))
            keys = keys / temperature + noise if temperature else noise
        return np.argsort(-keys, kind="stable")
