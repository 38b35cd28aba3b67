"""Lists, explanations and embeddings from the bodies of answers."""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import nan
from typing import Any

import numpy as np

from recsys.index import ItemRows
from recsys.serving import Batch, Explanation, Recommendations, ScoredItem
from recsys.serving.results import SOURCES, Lists, RowList, marks
from recsys.vectors import Id, Ids, NamedVectors
from recsys.vectors.ids import Kind

_TITLE = "title"


@dataclass(frozen=True)
class Served:
    """What the service answers from, and the limits that it holds a request to.

    Parameters
    ----------
    version, space_id : str
    model : str
        Which trained the version.
    limits : mapping of str to int
        By their names in the settings of the service.
    """

    version: str
    model: str
    factors: int
    n_users: int
    n_items: int
    space_id: str
    limits: Mapping[str, int]

    @classmethod
    def of(cls, body: bytes) -> "Served":
        """Read the answer of /v1/version."""
        known = json.loads(body)
        return cls(**{name: known[name] for name in cls.__dataclass_fields__})


@dataclass(frozen=True)
class EventsKept:
    """What became of the events of a request: kept now, or there before under their ids."""

    added: int
    repeated: int

    @classmethod
    def of(cls, body: bytes) -> "EventsKept":
        """Read the answer of /v1/events."""
        known = json.loads(body)
        return cls(known["added"], known["repeated"])


@dataclass(frozen=True)
class UserDeleted:
    """How many events of a user were deleted, and the version whose files still know the user."""

    deleted_events: int
    still_in_version: str | None

    @classmethod
    def of(cls, body: bytes) -> "UserDeleted":
        """Read the answer of a deletion."""
        known = json.loads(body)
        return cls(known["deleted_events"], known["still_in_version"])


@dataclass(frozen=True)
class Told:
    """What answers had with their items: the `Known` of lists that came over HTTP.

    What gives reasons is here not the rows of a history but the number of a list.
    """

    title_column: str | None = None
    attributes: dict[Id, dict[str, Any]] = field(default_factory=dict)
    reasons: dict[tuple[int, Id], ScoredItem] = field(default_factory=dict)
    numbers: dict[Id, int] = field(default_factory=dict)  # of the list of each user
    new: set[Id] = field(default_factory=set)

    def attributes_of(self, item_ids: Iterable[Id]) -> list[dict[str, Any]]:
        """Return the attributes of items, empty where none came."""
        return [self.attributes.get(item_id, {}) for item_id in item_ids]

    def are_new(self, item_ids: Iterable[Id]) -> list[bool]:
        """Return which items the service said to be new."""
        return [item_id in self.new for item_id in item_ids]

    def seen_by(self, user_id: Id) -> ItemRows:
        """Return what gives the reasons of a user's list."""
        return as_rows(self.numbers[user_id])

    def closest(self, item_ids: Sequence[Id], seen: ItemRows) -> list[ScoredItem | None]:
        """Return the reason of each item of a list, None where it has none."""
        number = int(seen[0])
        return [self.reasons.get((number, item_id)) for item_id in item_ids]

    def read(self, items: Iterable[dict[str, Any]], number: int = 0) -> tuple[ScoredItem, ...]:
        """Return the items of a list, and keep what came with them."""
        return tuple(self._read(one, number) for one in items)

    def _read(self, one: dict[str, Any], number: int) -> ScoredItem:
        item, attributes = _scored(one), one.get("attributes")
        if attributes is not None:
            self.attributes[item.item_id] = attributes
        elif _TITLE in one:
            self.attributes[item.item_id] = {_TITLE: one[_TITLE]}
        if one.get("new_item"):
            self.new.add(item.item_id)
        reason = one.get("because_of")
        if reason is not None:
            self.reasons[number, item.item_id] = of_history = _scored(reason)
            if self.title_column is not None and _TITLE in reason:
                self.attributes.setdefault(of_history.item_id, {self.title_column: reason[_TITLE]})
        return item


def as_rows(number: int) -> ItemRows:
    """Return the number of a list as what gives its reasons."""
    return np.array([number], dtype=np.int32)


def _scored(one: dict[str, Any]) -> ScoredItem:
    score = one["score"]
    return ScoredItem(one["item_id"], nan if score is None else score)


def _told_with(known: dict[str, Any]) -> Told:
    """Return where to keep what comes with items; those without details may have a title."""
    return Told(known.get("title_column", _TITLE))


def listed(body: bytes) -> Recommendations:
    """Read a list."""
    known = json.loads(body)
    told = _told_with(known)
    items = told.read(known["items"])
    seen = as_rows(0) if told.reasons else None
    found = Recommendations(items, known["source"], known["version"], (told, seen))
    boosts = tuple(one["boost"] for one in known["items"] if "boost" in one)
    are_pinned = marks([one.get("pinned", False) for one in known["items"]])
    return replace(found, boosts=boosts, are_pinned=are_pinned)


def audience(body: bytes) -> Recommendations:
    """Read a list of users."""
    known = json.loads(body)
    users = tuple(_scored(one | {"item_id": one["user_id"]}) for one in known["users"])
    return Recommendations(users, known["source"], known["version"], kind="user")


def explained(body: bytes) -> Explanation:
    """Read an explanation with details."""
    known = json.loads(body)
    told = _told_with(known)
    parts = told.read(known["parts"])
    score, rest = (nan if known[name] is None else known[name] for name in ("score", "rest"))
    about = told, None
    found = (known["item_id"], score, parts, rest, known["source"], known["version"], about)
    return Explanation(*found, known.get("new_item", False))


def batch(user_ids: list[Id], answers: Sequence[dict[str, Any]], version: str) -> Batch:
    """Return the lists of some users, of one version."""
    told = _told_with(answers[0] if answers else {})
    told.numbers.update({user_id: number for number, user_id in enumerate(user_ids)})
    found = [told.read(one["items"], number) for number, one in enumerate(answers)]
    items = Ids(dict.fromkeys(item_id for one in found for item_id, _ in one))
    source = np.array([SOURCES.index(one["source"]) for one in answers], dtype=np.int8)
    every = [item for one in answers for item in one["items"]]
    has = (any(name in item for item in every) for name in ("boost", "pinned"))
    lists = Lists.empty(source, max(map(len, found), default=0), *has)
    for number, (listed, answer) in enumerate(zip(found, answers, strict=True)):
        lists.put(number, _rows_of(listed, answer, items))
    rows = {number: as_rows(number) for number in range(len(found))} if told.reasons else None
    return Batch(user_ids, lists, items, version, told, rows)


def _rows_of(listed: Sequence[ScoredItem], answer: dict[str, Any], items: Ids) -> RowList:
    """Return the list of an answer by rows of its batch."""
    rows = items.rows(item_id for item_id, _ in listed)
    scores = np.array([score for _, score in listed])
    boost = np.array([one.get("boost", 0) for one in answer["items"]], np.float32)
    is_pinned = np.array([one.get("pinned", False) for one in answer["items"]], bool)
    return RowList(rows, scores, answer["source"], None, boost, rows[is_pinned])


def vectors(kind: Kind, bodies: Sequence[bytes]) -> NamedVectors:
    """Return embeddings by id from streams of Arrow of one version."""
    import pyarrow as pa

    tables = [pa.ipc.open_stream(body).read_all() for body in bodies]
    about = tables[0].schema.metadata
    table = pa.concat_tables(tables).combine_chunks()
    embedding = table["embedding"].combine_chunks()
    matrix = embedding.values.to_numpy().reshape(len(table), embedding.type.list_size)
    where = f"asked for of version {about[b'version'].decode()}"
    return NamedVectors(Ids(table[f"{kind}_id"]), matrix, kind, about[b"space_id"].decode(), where)


def version_of(body: bytes) -> str:
    """Return the version of a stream of embeddings."""
    import pyarrow as pa

    return str(pa.ipc.open_stream(body).schema.metadata[b"version"].decode())
