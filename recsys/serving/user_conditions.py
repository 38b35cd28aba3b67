"""Conditions on users: what a version knows of what they did, and the attributes of their table."""

from collections.abc import Sequence

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.checks import require_a
from recsys.base.lazy import lazy_property
from recsys.serving.described_users import DescribedUsers
from recsys.serving.repeats import NEVER_AGAIN
from recsys.store import Content

_MOST_NAMED = 20  # columns, in the error of an unknown one


class UserConditions:
    """Finds the users of a version that fulfil a condition.

    Only the columns that a condition names are read, and none is kept: while it is answered, they
    are in memory, and afterwards the activity alone, 12 bytes a user. An attribute that is called
    like a column of activity has another name: "user_n_items".
    """

    def __init__(self, content: Content, described: DescribedUsers) -> None:
        self._content, self._described = content, described

    def matching(self, where: str) -> NDArray[np.bool_]:
        """Return which users fulfil a condition, those without events last.

        See `recsys.serving.conditions`.
        """
        from recsys.serving.conditions import columns_of, parse  # with Arrow's compute 28 ms
        from recsys.serving.matching import About, matching_rows

        require_a("where", where, str, "a condition as text")
        parsed = parse(where)
        table = self._table({one.lower() for one in columns_of(parsed)})
        names = [*self._activity.column_names, *self._attributes]
        more = "" if self._attributes else "; train with a table of users (data.users) to ask more"
        about = About("what is known of users", f": there are {_some_of(names)}{more}", names)
        return matching_rows(parsed, table, about)

    def _table(self, asked: set[str]) -> pa.Table:
        """Return the activity, and those attributes that are asked for, in any case of letters."""
        table = self._activity
        ours = {name: own for name, own in self._attributes.items() if name.lower() in asked}
        if not ours:
            return table
        read = self._content.some_user_attributes([*ours.values()])
        described = self._described.columns(ours.values())
        if described is not None:
            read = pa.concat_tables([read, described.cast(read.schema)])
        for name, own in ours.items():
            table = table.append_column(name, read[own])
        return table

    @lazy_property
    def _attributes(self) -> dict[str, str]:
        """How conditions call the attributes, and what they are called in the table of users."""
        taken = self._activity.column_names
        return {f"user_{own}" if own in taken else own: own for own in self._content.user_columns}

    @lazy_property
    def _activity(self) -> pa.Table:
        """A row for each user: n_items, and last_day where the version knows it.

        What was disliked is no item of theirs, and has no day.
        """
        seen = self._content.users.seen
        n_items = np.diff(seen.starts)
        has_any = n_items > 0
        n_described = len(self._described.ids)
        first = seen.starts[:-1][has_any]
        if seen.weight is not None and len(first):
            n_items[has_any] = np.add.reduceat(seen.weight > 0, first, dtype=np.int64)
        columns = {"n_items": pa.array(np.append(n_items, np.zeros(n_described, np.int64)))}
        if seen.day is not None:
            last = np.zeros(len(n_items), np.int32)
            day = np.where(seen.day == NEVER_AGAIN, 0, seen.day)
            last[has_any] = np.maximum.reduceat(day, first)
            last = np.append(last, np.zeros(n_described, np.int32))
            columns["last_day"] = pa.array(last, mask=last == 0).view(pa.date32())
        return pa.table(columns)


def _some_of(names: Sequence[str]) -> str:
    more = len(names) - _MOST_NAMED
    return ", ".join(names[:_MOST_NAMED]) + (f" and {more} more" if more > 0 else "")
