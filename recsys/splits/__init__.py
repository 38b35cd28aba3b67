"""Splits of a log into train, validation and test; what leaks is an error."""

from recsys.settings import SplitSettings
from recsys.splits.common import SPLIT_REASONS
from recsys.splits.feature_leaks import require_features_before
from recsys.splits.leaks import require_validation
from recsys.splits.new_items import split_items
from recsys.splits.splitters import (
    HeldOutUsers,
    split_by_time,
    split_folds,
    split_given,
    split_last,
    split_random,
    split_users,
)
from recsys.splits.three_way import (
    ThreeWaySplit,
    decide_split,
    require_split,
    said_of_split,
    say_few_tested,
    split_log,
    split_parts,
    split_validation,
)

__all__ = [
    "SPLIT_REASONS",
    "HeldOutUsers",
    "SplitSettings",
    "ThreeWaySplit",
    "decide_split",
    "require_features_before",
    "require_split",
    "require_validation",
    "said_of_split",
    "say_few_tested",
    "split_by_time",
    "split_folds",
    "split_given",
    "split_items",
    "split_last",
    "split_log",
    "split_parts",
    "split_random",
    "split_users",
    "split_validation",
]
