"""Serving: open a version and recommend."""

from recsys.base.rule_settings import Boost, NewItems, Pin
from recsys.serving.audience_files import write_audiences
from recsys.serving.batch import write_batch
from recsys.serving.known import ScoredItem
from recsys.serving.open import open, recommend, store_path
from recsys.serving.recommender import Recommender
from recsys.serving.results import Batch, Explanation, Recommendations, Source

__all__ = [
    "Batch",
    "Boost",
    "Explanation",
    "NewItems",
    "Pin",
    "Recommendations",
    "Recommender",
    "ScoredItem",
    "Source",
    "open",
    "recommend",
    "store_path",
    "write_audiences",
    "write_batch",
]
