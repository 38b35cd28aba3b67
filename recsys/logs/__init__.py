"""From an interaction log to a sparse matrix: ingest, rejects, weights and decay, split."""

from recsys.logs.account import Account
from recsys.logs.facts import facts_of
from recsys.logs.held_out import SPLIT_REASONS
from recsys.logs.interactions import DuplicatePolicy, Interactions, Part
from recsys.logs.items import ItemSettings, attributes_of, read_items
from recsys.logs.leaks import require_validation
from recsys.logs.parts import (
    Parts,
    SplitSettings,
    split_log,
    split_parts,
    split_validation,
)
from recsys.logs.reading import LogCache, read_log
from recsys.logs.settings import LogSettings
from recsys.logs.split import (
    split_by_time,
    split_folds,
    split_last,
    split_random,
)
from recsys.logs.split_given import split_given
from recsys.logs.split_users import HeldOutUsers, split_users

__all__ = [
    "SPLIT_REASONS",
    "Account",
    "DuplicatePolicy",
    "HeldOutUsers",
    "Interactions",
    "ItemSettings",
    "LogCache",
    "LogSettings",
    "Part",
    "Parts",
    "SplitSettings",
    "attributes_of",
    "facts_of",
    "read_items",
    "read_log",
    "require_validation",
    "split_by_time",
    "split_folds",
    "split_given",
    "split_last",
    "split_log",
    "split_parts",
    "split_random",
    "split_users",
    "split_validation",
]
