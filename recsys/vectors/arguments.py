"""Checks of what people type: ids, and the length of a list."""

from collections.abc import Iterable
from typing import Literal

import numpy as np

from recsys.errors import DataError, UnknownItemError, UnknownUserError, did_you_mean
from recsys.vectors.ids import Id, Ids

Kind = Literal["user", "item"]

# A union that is spelled out where it is used is made again in each call.
_WHOLE = (int, np.integer)
_ID = (str, *_WHOLE)

_MOST_IDS_TO_SUGGEST_FROM = 100_000
_LONGEST_ID_TO_SUGGEST_FOR = 100


def checked_k(k: int) -> int:
    """Return the length of a list as an int, or raise a DataError where it is none."""
    if isinstance(k, bool) or not isinstance(k, _WHOLE):
        raise DataError(f"k: expected a whole number, got {k!r}")
    if k < 1:
        raise DataError(f"k: expected at least 1, got {k}")
    return int(k)


def checked_id(id_: Id, name: str) -> Id:
    """Return an id, or raise a DataError that names the argument where it is none."""
    if isinstance(id_, bool) or not isinstance(id_, _ID):
        raise DataError(f"{name}: expected a string or an integer, got {id_!r}")
    return id_


def checked_ids(ids: Iterable[Id], name: str) -> list[Id]:
    """Return a list of ids, or raise a DataError that names the argument where it is none."""
    if isinstance(ids, str) or not isinstance(ids, Iterable):
        raise DataError(f"{name}: expected a list of ids, got {repr(ids)[:60]}")
    return [checked_id(id_, name) for id_ in ids]


def unknown_id(
    kind: Kind, id_: Id, ids: Ids, where: str = "", hint: str | None = None
) -> UnknownUserError | UnknownItemError:
    """Return the error for an id that is not among those that are known.

    Parameters
    ----------
    kind : {"user", "item"}
    id_ : str or int
    ids : Ids
        The known ones.
    where : str
        What holds them, such as "of version v".
    hint : str, optional
        The end of the sentence. Default: the known id that is spelled most alike, if any.
    """
    if hint is None:
        hint = _alike(id_, ids)
    error = UnknownUserError if kind == "user" else UnknownItemError
    known = f"{len(ids):,} {kind}s {where}".rstrip()
    return error(f"{kind} {_short(id_)}: not among the {known}{hint}")


def _alike(id_: Id, ids: Ids) -> str:
    """Return a suggestion, unless the search for it would take noticeable time."""
    if len(ids) > _MOST_IDS_TO_SUGGEST_FROM or len(str(id_)) > _LONGEST_ID_TO_SUGGEST_FOR:
        return ""
    return did_you_mean(str(id_), map(str, ids.tolist()))


def _short(id_: Id) -> str:
    text = str(id_)
    return repr(text if len(text) <= 60 else text[:60] + "...")
