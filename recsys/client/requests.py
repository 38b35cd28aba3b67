"""One request, its arguments as they are sent, and how its answer is read."""

import json
from collections.abc import Callable, Generator, Iterable, Mapping
from dataclasses import dataclass
from datetime import date
from typing import Any, TypeVar
from urllib.parse import quote, urlencode

import numpy as np

from recsys.base.errors import DataError
from recsys.base.rule_settings import plain_rule
from recsys.client.attempts import Answer
from recsys.client.failures import raise_problem, unreadable
from recsys.serving.request import Conditions, rules_given
from recsys.vectors import Id
from recsys.vectors.ids import checked_id, checked_ids, checked_k

_T = TypeVar("_T")
_MOST_TARGET = 65_000  # which httpx and the service take
_JSON = "application/json"


@dataclass(frozen=True)
class Ask:
    """One request.

    Parameters
    ----------
    target : str
        Path and query, percent-encoded.
    body : bytes, optional
        JSON; what has one is a POST, unless `method` says otherwise.
    """

    target: str
    body: bytes | None = None
    method: str = ""
    is_once: bool = False  # what is not ready now is the answer

    def __post_init__(self) -> None:
        if len(self.target) > _MOST_TARGET:
            raise DataError(
                f"expected ids and texts of a path of at most {_MOST_TARGET:,} characters in all, "
                f"percent-encoded, got {len(self.target):,}"
            )

    @property
    def verb(self) -> str:
        """The method of HTTP."""
        return self.method or ("GET" if self.body is None else "POST")

    @property
    def headers(self) -> dict[str, str]:
        """What goes with it."""
        return {} if self.body is None else {"content-type": _JSON}

    def read(self, answer: Answer, how: Callable[[bytes], _T]) -> _T:
        """Return what a good answer holds; raise what another one stands for."""
        where = f"{self.verb} {self.target.partition('?')[0][:100]}"
        if answer.status != 200:
            raise_problem(where, answer)
        try:
            return how(answer.body)
        except (ValueError, LookupError, TypeError, AttributeError, RecursionError) as error:
            raise unreadable(where, answer, error) from error


Call = Generator[Ask, Answer, _T]


def one_answer(ask: Ask, how: Callable[[bytes], _T]) -> Call[_T]:
    """Ask once, and return what the answer holds."""
    answer = yield ask
    return ask.read(answer, how)


def some_conditions(
    exclude: Iterable[Id],
    candidates: Iterable[Id] | None,
    where: str | None,
) -> Conditions:
    """Return the conditions of a list that has no more of them."""
    return {"exclude": exclude, "candidates": candidates, "where": where}


def checked_conditions(conditions: Mapping[str, Any]) -> dict[str, Any]:
    """Return conditions as JSON has them; the service checks what they say."""
    unknown = sorted(conditions.keys() - Conditions.__annotations__.keys())
    if unknown:
        raise TypeError(f"got an unexpected keyword argument {unknown[0]!r}")
    found = {name: one for name, one in conditions.items() if one is not None}
    for name in ("exclude", "candidates"):
        if name in found:
            found[name] = plain_ids(found[name], name)
    if found.get("exclude") == []:
        del found["exclude"]
    given = (found.pop("boost", ()), found.pop("pin", ()), found.pop("max_per", None))
    rules = rules_given(*given, found.pop("new_items", None))
    if rules.new_items is not None:
        if plain_rule(rules.new_items).keys() != {"share"}:
            raise DataError(
                "new_items: expected a share alone, as users and exploration are those of the "
                "service ([rules] in its TOML)"
            )
        found["new_items"] = rules.new_items.share
    for name in ("boost", "pin"):
        if listed := getattr(rules, name):
            found[name] = [_plain(plain_rule(one)) for one in listed]
    return found | ({"max_per": list(rules.max_per)} if rules.max_per else {})


def _plain(rule: dict[str, Any]) -> dict[str, Any]:
    """Return a rule as JSON has it, dates as text."""
    return {
        name: one.isoformat() if isinstance(one, date) else _as_json(one)
        for name, one in rule.items()
    }


def of_list(k: int, conditions: Mapping[str, Any], details: bool) -> dict[str, Any]:
    """Return what is asked of a list."""
    found = {"k": checked_k(k), **checked_conditions(conditions)}
    return found | ({"details": True} if details else {})


def plain_ids(ids: Iterable[Id], name: str) -> list[Id]:
    """Return ids as JSON has them, or raise a DataError that names the argument."""
    return [_as_json(id_) for id_ in checked_ids(ids, name)]


def plain_id(id_: Id, name: str) -> Id:
    """Return an id as JSON has it."""
    return _as_json(checked_id(id_, name))


def _as_json(id_: Any) -> Id:
    return int(id_) if isinstance(id_, np.integer) else id_


def part_of_path(id_: Id) -> str:
    """Return an id as a part of a path; dots alone would be taken for folders on the way."""
    text = quote(str(id_), safe="", errors="surrogatepass")
    return text.replace(".", "%2E") if text in (".", "..") else text


def asking(path: str, asked: Mapping[str, Any]) -> Ask:
    """Return a GET; a POST where there are lists, as a query holds no empty one."""
    if any(isinstance(value, list) for value in asked.values()):
        return Ask(path, body_of(asked))
    texts = {
        name: str(value).lower() if isinstance(value, bool) else str(value)
        for name, value in asked.items()
    }
    return Ask(f"{path}?{urlencode(texts, quote_via=quote, safe='', errors='surrogatepass')}")


def posting(path: str, asked: Mapping[str, Any]) -> Ask:
    """Return a POST."""
    return Ask(path, body_of(asked))


def body_of(asked: Any) -> bytes:
    """Return JSON in ASCII, in which half a character can stand."""
    try:
        return json.dumps(asked, default=_number, separators=(",", ":")).encode()
    except (TypeError, ValueError) as error:
        raise DataError(f"expected arguments that JSON can hold, got {error}") from error


def _number(value: Any) -> Any:
    if isinstance(value, np.generic):
        return value.item()
    raise TypeError(f"one of {type(value).__name__}")
