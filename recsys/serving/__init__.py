"""Serving: open a version and recommend."""

from recsys.serving.batch import write_batch
from recsys.serving.fold_in import Explanation
from recsys.serving.lists import Batch
from recsys.serving.open import open, recommend, store_path
from recsys.serving.recommender import Recommender
from recsys.serving.results import Recommendations, ScoredItem, Source

__all__ = [
    "Batch",
    "Explanation",
    "Recommendations",
    "Recommender",
    "ScoredItem",
    "Source",
    "open",
    "recommend",
    "store_path",
    "write_batch",
]
