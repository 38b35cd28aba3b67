"""From an interaction log to `Interactions`: read, classify, reject, weigh, count."""

from recsys.logs.attribute_rows import attributes_of
from recsys.logs.cache import LogCache
from recsys.logs.guess import guess_log
from recsys.logs.guess_folder import FolderGuess, guess_folder
from recsys.logs.guess_items import ItemGuess, guess_items, item_ids, titles_of
from recsys.logs.interactions import Interactions, SplitInfo, require_interactions
from recsys.logs.items import read_items
from recsys.logs.kept_rows import take as take_new_rows
from recsys.logs.live_files import LiveFiles
from recsys.logs.log_guess import LogGuess, Proposal
from recsys.logs.log_summary import LogSummary, summarize
from recsys.logs.object_files import local_path
from recsys.logs.queries import fetch
from recsys.logs.read import read_log
from recsys.logs.row_counts import FileCounts, RowCounts
from recsys.logs.sources import Fetched
from recsys.logs.users import read_users
from recsys.settings import DuplicatePolicy, ItemSettings, LogSettings

__all__ = [
    "DuplicatePolicy",
    "Fetched",
    "FileCounts",
    "FolderGuess",
    "Interactions",
    "ItemGuess",
    "ItemSettings",
    "LiveFiles",
    "LogCache",
    "LogGuess",
    "LogSettings",
    "LogSummary",
    "Proposal",
    "RowCounts",
    "SplitInfo",
    "attributes_of",
    "fetch",
    "guess_folder",
    "guess_items",
    "guess_log",
    "item_ids",
    "local_path",
    "read_items",
    "read_log",
    "read_users",
    "require_interactions",
    "summarize",
    "take_new_rows",
    "titles_of",
]
