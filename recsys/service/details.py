"""Lists with all that their version knows of each item: its attributes, and why it is there."""

from typing import Any

from recsys.base.plain import plain
from recsys.service.parameters import Parameter
from recsys.serving import Explanation, Recommendations, ScoredItem
from recsys.serving.known import Described
from recsys.store.item_json import json_text

DETAILS = Parameter(
    "details",
    "flag",
    "Each item with all its attributes, and with the seen item that is most similar to it.",
    default=False,
)


def detailed(found: Recommendations) -> str:
    """Return a list as JSON, as a `ListWriter` does, with the details of each item."""
    known: dict[str, Any] = {"items": _items(found), "source": found.source}
    return json_text(known | {"version": found.version, "title_column": found.title_column})


def detailed_explanation(why: Explanation) -> dict[str, Any]:
    """Return an explanation as JSON has it, with its parts as items of a detailed list."""
    return why.to_dict() | {"parts": _items(why), "title_column": why.title_column}


def _items(found: Described) -> list[dict[str, Any]]:
    items = list(
        map(_item, found.listed, found.attributes, found.titles, found.reasons, found.reason_titles)
    )
    for item, boost in zip(items, found.boosts, strict=False):  # of none where there are no rules
        item["boost"] = boost
    for name, are_marked in (("pinned", found.are_pinned), ("new_item", found.are_new)):
        for item, is_marked in zip(items, are_marked, strict=False):
            if is_marked:
                item[name] = True
    return items


def _item(
    item: ScoredItem,
    attributes: dict[str, Any],
    title: str | None,
    reason: ScoredItem | None,
    reason_title: Any,
) -> dict[str, Any]:
    known = _titled(item, title) | {"attributes": plain(attributes)}
    return known if reason is None else known | {"because_of": _titled(reason, reason_title)}


def _titled(item: ScoredItem, title: Any) -> dict[str, Any]:
    return item.to_dict() | ({} if title is None else {"title": plain(title)})
