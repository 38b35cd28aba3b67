"""Serving: open a version and recommend."""

from recsys.serving.opening import open, recommend, store_path
from recsys.serving.recommendations import Recommendations, ScoredItem, Source
from recsys.serving.recommender import Recommender

__all__ = [
    "Recommendations",
    "Recommender",
    "ScoredItem",
    "Source",
    "open",
    "recommend",
    "store_path",
]
