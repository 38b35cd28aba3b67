"""What each route answers: from checked arguments to the bytes of a body."""

import time
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from time import monotonic
from typing import Any, NamedTuple, cast

import numpy as np

from recsys.base.errors import RecsysError, UnknownItemError
from recsys.base.plain import plain
from recsys.base.service_settings import ServiceSettings
from recsys.service.details import detailed, detailed_explanation
from recsys.service.of_lists import DEFAULT_K, OF_A_LIST, OF_ANYBODY
from recsys.service.opened import Opened
from recsys.service.parameters import Arguments, in_body
from recsys.service.problems import ProblemError, problem_of
from recsys.serving.item_order import TopKind
from recsys.serving.results import Explanation, Recommendations, RowList
from recsys.store.item_json import json_text
from recsys.vectors import Id, NamedVectors
from recsys.vectors.ids import Kind, unknown_id

JSON = b"application/json"
ARROW = b"application/vnd.apache.arrow.stream"
PROMETHEUS = b"text/plain; version=0.0.4"

LIMITS = ("max_k", "max_total_k", "max_ids", "max_body_bytes", "max_target_bytes")


class Asked(NamedTuple):
    """A request that has been read."""

    opened: Opened
    path: Mapping[str, str]
    given: Arguments
    settings: ServiceSettings


class Reply(NamedTuple):
    """What is answered to it; a list has a source, a batch those of its lists.

    `opened` is the version that answered where it is not the current one, and a page has other
    rules of what it may load.
    """

    body: bytes
    source: str = ""
    media: bytes = JSON
    status: int = 200
    headers: tuple[tuple[bytes, bytes], ...] = ()
    sources: tuple[str, ...] = ()
    opened: Opened | None = None
    is_page: bool = False


_BY_NAME = {parameter.name: parameter for parameter in OF_ANYBODY}
_OF_REQUEST = frozenset(one.name for one in OF_A_LIST) - {"details"} | {"include_seen", "repeat"}
_SAID = frozenset(("history", "dislikes", "user_attributes"))  # of who has no user_id
_OF_NO_USER = frozenset(("weights", "user_attributes"))
_PLAIN = frozenset(("k", "on_unknown"))


def of_user(asked: Asked) -> Reply:
    """Answer with the list of the user in the path."""
    opened, user_id = asked.opened, asked.path["user_id"]
    if asked.given.keys() <= _PLAIN and not opened.fresh.may_have(user_id):
        body = opened.plain_list(user_id, asked.given.get("k", DEFAULT_K))
        if body is not None:
            return Reply(body, "personal")
    return _listed(asked, _rows_of(opened, asked.given, user_id))


def of_anybody(asked: Asked) -> Reply:
    """Answer with the list of the user or of the history in the body."""
    return _listed(asked, _rows_of_body(asked.opened, asked.given))


def batch(asked: Asked) -> Reply:
    """Answer with a list or a problem for each request of the body."""
    opened, end = asked.opened, monotonic() + asked.settings.max_seconds
    requests = _until(end, asked.given["requests"])
    read = [_or_problem(lambda one=one: in_body(one, _BY_NAME, asked.settings)) for one in requests]
    total = sum(one.get("k", DEFAULT_K) for one in read if not isinstance(one, ProblemError))
    if total > asked.settings.max_total_k:
        raise ProblemError(
            "invalid",
            f"requests: expected at most {asked.settings.max_total_k:,} items in all, the sum of "
            f"k, got {total:,}",
        )
    answers = [
        one if isinstance(one, ProblemError) else _or_problem(lambda one=one: _text_of(opened, one))
        for one in _until(end, read)
    ]
    texts = [
        json_text({"problem": one.to_dict()}) if isinstance(one, ProblemError) else one[0]
        for one in answers
    ]
    sources = tuple(one[1] for one in answers if not isinstance(one, ProblemError))
    body = f'{{"answers":[{",".join(texts)}],"version":{json_text(opened.version)}}}'
    return Reply(encoded(body), sources=sources)


def _until(end: float, ones: Iterable[Any]) -> Iterator[Any]:
    """Yield in time: then nobody waits for the rest any more, and the thread is for others."""
    for one in ones:
        if monotonic() > end:
            raise ProblemError("too_slow", "expected requests that are answered in time; ask fewer")
        yield one


def _or_problem(make: Any) -> Any:
    """Return what a call returns, or its error as a problem."""
    try:
        return make()
    except ProblemError as problem:
        return problem
    except RecsysError as error:
        return problem_of(error)


def _text_of(opened: Opened, given: Arguments) -> tuple[str, str]:
    found = _rows_of_body(opened, given)
    return _text(opened, given, found), found.source


def _rows_of_body(opened: Opened, given: Arguments) -> RowList:
    if "user_id" not in given:
        return _rows_of_history(opened, given)
    for name in _OF_NO_USER & given.keys():
        raise ProblemError("invalid", f"{name}: expected them with a history and without a user_id")
    return _rows_of(opened, given, given["user_id"])


def _rows_of(opened: Opened, given: Arguments, user_id: Id) -> RowList:
    return opened.fresh.recommend(
        user_id,
        _request(opened, given),
        given.get("history"),
        given.get("on_unknown", "popular"),
        given.get("dislikes", ()),
    )


def _rows_of_history(opened: Opened, given: Arguments) -> RowList:
    if not given.keys() & _SAID:
        raise ProblemError("invalid", "expected a user_id or a history, got neither")
    request, on_unknown = _request(opened, given), given.get("on_unknown", "popular")
    try:
        return opened.rows.for_history(
            given.get("history", ()),
            request,
            given.get("weights"),
            "raise" if on_unknown == "raise" else "ignore",
            given.get("dislikes", ()),
            given.get("user_attributes"),
        )
    except UnknownItemError:
        if on_unknown != "popular":
            raise
        return opened.rows.popular(request)


def _request(opened: Opened, given: Arguments) -> Any:
    conditions: Any = {name: one for name, one in given.items() if name in _OF_REQUEST}
    if conditions.keys() <= {"k"}:
        return opened.plain_request(given.get("k", DEFAULT_K))
    return opened.rows.request(conditions.pop("k", DEFAULT_K), **conditions)


def _listed(asked: Asked, found: RowList) -> Reply:
    return Reply(encoded(_text(asked.opened, asked.given, found)), found.source)


def _text(opened: Opened, given: Arguments, found: RowList) -> str:
    if given.get("details"):
        return detailed(opened.rows.named(found))
    return opened.writer.text(found)


def _named(asked: Asked, found: Recommendations) -> Reply:
    write = detailed if asked.given.get("details") else asked.opened.writer.text_of
    return Reply(encoded(write(found)), found.source)


def encoded(text: str) -> bytes:
    """Return UTF-8; half a character, which it cannot hold, becomes a question mark."""
    return text.encode(errors="replace")


def top(asked: Asked) -> Reply:
    """Answer with a list that is the same for everybody."""
    kind = cast(TopKind, asked.path["kind"])
    if kind not in ("popular", "trending", "latest"):
        raise ProblemError("no_route", "expected a list of popular, trending or latest items")
    given = dict(asked.given)
    column = given.pop("column", None)
    return _listed(asked, asked.opened.rows.top(kind, _request(asked.opened, given), column))


def similar(asked: Asked) -> Reply:
    """Answer with the items most similar to one."""
    given = {name: one for name, one in asked.given.items() if name in _OF_REQUEST}
    found = asked.opened.recommender.similar_items(asked.path["item_id"], **given)
    return _named(asked, found)


def nearest(asked: Asked) -> Reply:
    """Answer with the items nearest to some added up, less others."""
    given = {name: one for name, one in asked.given.items() if name in _OF_REQUEST}
    plus, minus = asked.given.get("plus", ()), asked.given.get("minus", ())
    return _named(asked, asked.opened.recommender.nearest_items(plus, minus, **given))


def history(asked: Asked) -> Reply:
    """Answer with what a user has seen."""
    k = asked.given.get("k", DEFAULT_K)
    return _listed(asked, asked.opened.fresh.history(asked.path["user_id"], k))


def explanation(asked: Asked) -> Reply:
    """Answer with what each item of a user's history adds to the score of an item."""
    path = asked.path
    return _explained(asked, asked.opened.fresh.explain(path["user_id"], path["item_id"]))


def explanation_of_anybody(asked: Asked) -> Reply:
    """Answer the same of the user or the history in the body."""
    given, recommender = asked.given, asked.opened.recommender
    is_of_history = bool(given.keys() & {"history", "user_attributes"})
    if ("user_id" in given) == is_of_history:
        got = "both" if is_of_history else "neither"
        raise ProblemError("invalid", f"expected a user_id or a history, got {got}")
    if is_of_history:
        why = recommender.explain_for_history(
            given.get("history", ()),
            given["item_id"],
            weights=given.get("weights"),
            dislikes=given.get("dislikes", ()),
            user_attributes=given.get("user_attributes"),
        )
    elif "weights" in given or "dislikes" in given:
        name = "weights" if "weights" in given else "dislikes"
        raise ProblemError("invalid", f"{name}: expected them with a history")
    else:
        why = asked.opened.fresh.explain(given["user_id"], given["item_id"])
    return _explained(asked, why)


def _explained(asked: Asked, why: Explanation) -> Reply:
    why = _shortened(why, asked.settings.max_k)
    known = detailed_explanation(why) if asked.given.get("details") else why.to_dict()
    return Reply(encoded(json_text(known)))


def _shortened(why: Explanation, most: int) -> Explanation:
    """Return an explanation with the parts that weigh most; the others become its rest."""
    parts = why.contributions
    if len(parts) <= most:
        return why
    weights = -np.abs(np.array([one.score for one in parts]))
    kept = tuple(parts[place] for place in np.sort(np.argpartition(weights, most)[:most]))
    return replace(why, contributions=kept, rest=why.score - sum(one.score for one in kept))


def find(asked: Asked) -> Reply:
    """Answer with the items whose titles begin with some words."""
    given = asked.given
    found = asked.opened.recommender.find(
        given.get("title", ""), given.get("k", DEFAULT_K), where=given.get("where")
    )
    return _named(asked, found)


def item(asked: Asked) -> Reply:
    """Answer with what is known of an item."""
    opened = asked.opened
    row = opened.recommender.item_vectors.row(asked.path["item_id"])
    known = {
        "item_id": opened.content.items.ids[row],
        "n_users": int(opened.content.items.popularity[row]),
        "attributes": plain(opened.recommender.describe(asked.path["item_id"])),
        "version": opened.version,
    }
    return Reply(encoded(json_text(known)))


def embeddings(asked: Asked) -> Reply:
    """Answer with embeddings by id: one as JSON, several as a stream of Arrow."""
    kind: Kind = "user" if asked.path["table"] == "users" else "item"
    if asked.path["table"] not in ("users", "items"):
        raise ProblemError("no_route", "expected embeddings of users or of items")
    opened, asked_ids = asked.opened, asked.given["ids"]
    vectors = getattr(opened.recommender, f"{kind}_vectors")
    rows = vectors.ids.rows(asked_ids)
    is_known = rows >= 0
    if kind == "user":
        is_known &= np.array([not opened.fresh.is_forgotten(one) for one in asked_ids], bool)
    n_unknown = len(rows) - int(np.count_nonzero(is_known))
    if n_unknown and asked.given.get("on_unknown", "raise") == "raise":
        first = asked_ids[int(np.flatnonzero(~is_known)[0])]
        raise unknown_id(kind, first, vectors.ids, f"of version {opened.version}")
    headers = ((b"x-recsys-unknown", b"%d" % n_unknown),)
    if "one" in asked.given and len(rows) == 1 and not n_unknown:
        known = {
            f"{kind}_id": vectors.ids[int(rows[0])],
            "embedding": vectors.matrix[int(rows[0])].tolist(),
            "space_id": vectors.space_id,
            "version": opened.version,
        }
        return Reply(encoded(json_text(known)), headers=headers)
    return Reply(_as_arrow(vectors, rows[is_known], opened), media=ARROW, headers=headers)


def _as_arrow(vectors: NamedVectors, rows: "np.ndarray[Any, Any]", opened: Opened) -> bytes:
    import pyarrow as pa

    some = NamedVectors(
        vectors.ids.take(rows),
        np.asarray(vectors.matrix[rows]),
        vectors.kind,
        vectors.space_id,
    )
    about = {"space_id": vectors.space_id, "version": opened.version}
    table = some.to_arrow().replace_schema_metadata(about)
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, table.schema) as writer:
        writer.write_table(table)
    body: bytes = sink.getvalue().to_pybytes()
    return body


def embeddings_by_id(asked: Asked) -> Reply:
    """Answer the query of embeddings: ids are repeated there."""
    given = {"ids": asked.given["id"], "one": True} | asked.given
    return embeddings(asked._replace(given=given))


def version(asked: Asked) -> Reply:
    """Answer with what the version is."""
    opened, manifest, settings = asked.opened, asked.opened.manifest, asked.settings
    known = {
        "version": opened.version,
        "model": manifest.model.name,
        "factors": manifest.factors,
        "n_users": manifest.n_users,
        "n_items": manifest.n_items,
        "space_id": manifest.space_id,
        "opened_seconds_ago": round(time.time() - opened.since, 3),
        "limits": {name: getattr(settings, name) for name in LIMITS},
    }
    return Reply(encoded(json_text(known)))
