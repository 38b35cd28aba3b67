"""Metrics and protocols: how good embeddings are on held-out interactions."""

from recsys.evaluation.comparison import ComparedModel, Comparison, compare
from recsys.evaluation.dimensions import (
    TOLERANCE,
    DimensionCurve,
    DimensionPoint,
    Knee,
    find_knee,
)
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.metrics import METRICS, RankedHits
from recsys.evaluation.new_items import Catalogues, evaluate_new_items
from recsys.evaluation.next_item import NextItem, evaluate_next
from recsys.evaluation.protocols import (
    Folds,
    evaluate_folds,
    evaluate_held_out,
    evaluate_new_users,
)
from recsys.evaluation.result import Evaluation
from recsys.evaluation.slices import (
    Slice,
    by_activity,
    by_item_popularity,
    groups_of,
    item_slices,
    slices,
    summaries_of,
)
from recsys.vectors import Scorer

__all__ = [
    "METRICS",
    "TOLERANCE",
    "Catalogues",
    "ComparedModel",
    "Comparison",
    "DimensionCurve",
    "DimensionPoint",
    "Evaluation",
    "Folds",
    "Knee",
    "NextItem",
    "RankedHits",
    "Scorer",
    "Slice",
    "by_activity",
    "by_item_popularity",
    "compare",
    "evaluate",
    "evaluate_folds",
    "evaluate_held_out",
    "evaluate_new_items",
    "evaluate_new_users",
    "evaluate_next",
    "find_knee",
    "groups_of",
    "item_slices",
    "slices",
    "summaries_of",
]
