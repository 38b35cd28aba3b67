"""Names of what moved most between two versions: users and items, by title where there is one."""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from recsys.base.progress import printable
from recsys.monitoring.population import Population
from recsys.monitoring.vectors import Moved
from recsys.store import Check, Content

_MOST = 3  # that a sentence names


@dataclass(frozen=True, eq=False)
class Names:
    """What two versions call their users and items."""

    a: Content
    b: Content
    users: Population
    items: Population
    moved: Sequence[Moved]

    def added_to(self, check: Check) -> Check:
        """Return a check that did not pass with what moved most, a passed one as it is."""
        if check.passed:
            return check
        named = self._of(check.name)
        if not named:
            return check
        return replace(check, sentence=f"{check.sentence}; most: {', '.join(named)}")

    def _of(self, measure: str) -> list[str]:
        if measure.startswith("item_movement"):
            rows = self.a.items.ids.rows([one.item_id for one in self.moved[:_MOST]])
            return [_name(self.a, "items", int(row)) for row in rows]
        of = self.users if measure.startswith("user") else self.items
        if measure.endswith("_vanished"):
            return _largest(self.a, of.kind, of.pairs_a, of.shared.in_a)
        if measure.endswith("_appeared"):
            return _largest(self.b, of.kind, of.pairs_b, of.shared.in_b)
        if measure in ("user_activity", "item_popularity"):
            return _most_changed(self.b, of)
        return []


def _largest(
    content: Content, kind: str, pairs: NDArray[np.float64], shared: NDArray[np.int32]
) -> list[str]:
    """Name the rows that the other version lacks and that have most pairs."""
    own = pairs.copy()
    own[shared] = -1
    rows = np.argsort(-own, kind="stable")[:_MOST]
    return [f"{_name(content, kind, int(row))} ({own[row]:,.0f})" for row in rows if own[row] >= 0]


def _most_changed(content: Content, of: Population) -> list[str]:
    """Name the shared rows whose share of the pairs changed most, with their pairs."""
    a, b = of.pairs_a[of.shared.in_a], of.pairs_b[of.shared.in_b]
    change = np.abs(b / max(of.pairs_b.sum(), 1) - a / max(of.pairs_a.sum(), 1))
    most = np.argsort(-change, kind="stable")[:_MOST]
    return [
        f"{_name(content, of.kind, int(of.shared.in_b[one]))} ({a[one]:,.0f} to {b[one]:,.0f})"
        for one in most
        if change[one] > 0
    ]


def _name(content: Content, kind: str, row: int) -> str:
    table = content.users if kind == "users" else content.items
    name = str(table.ids.tolist(np.array([row]))[0])
    attributes = content.attributes if kind == "items" else None
    if attributes is not None and "title" in attributes.column_names:
        title = attributes["title"][row].as_py()
        name = f"{title!r} ({name})" if title else name
    return printable(name)
