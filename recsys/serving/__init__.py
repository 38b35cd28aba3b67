"""Serving: open a version and recommend."""

from recsys.serving.batch import Batch
from recsys.serving.batch_files import write_batch
from recsys.serving.explaining import Explanation
from recsys.serving.opening import open, recommend, store_path
from recsys.serving.recommendations import Recommendations, ScoredItem, Source
from recsys.serving.recommender import Recommender

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
