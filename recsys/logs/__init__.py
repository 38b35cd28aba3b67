"""From an interaction log to `Interactions`: read, classify, reject, weigh, count."""

from recsys.logs.cache import LogCache
from recsys.logs.interactions import Account, DuplicatePolicy, Interactions, Part
from recsys.logs.items import ItemSettings, attributes_of, read_items
from recsys.logs.read import read_log
from recsys.logs.settings import LogSettings
from recsys.logs.summary import facts_of

__all__ = [
    "Account",
    "DuplicatePolicy",
    "Interactions",
    "ItemSettings",
    "LogCache",
    "LogSettings",
    "Part",
    "attributes_of",
    "facts_of",
    "read_items",
    "read_log",
]
