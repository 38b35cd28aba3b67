"""From an interaction log to `Interactions`: read, classify, reject, weigh, count."""

from recsys.logs.attributes import attributes_of
from recsys.logs.cache import LogCache
from recsys.logs.interactions import Interactions, SplitInfo, require_interactions
from recsys.logs.items import read_items
from recsys.logs.log_summary import LogSummary, summarize
from recsys.logs.read import read_log
from recsys.logs.row_counts import FileCounts, RowCounts
from recsys.settings import DuplicatePolicy, ItemSettings, LogSettings

__all__ = [
    "DuplicatePolicy",
    "FileCounts",
    "Interactions",
    "ItemSettings",
    "LogCache",
    "LogSettings",
    "LogSummary",
    "RowCounts",
    "SplitInfo",
    "attributes_of",
    "read_items",
    "read_log",
    "require_interactions",
    "summarize",
]
