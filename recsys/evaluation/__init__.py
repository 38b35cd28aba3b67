"""Metrics and protocols: how good embeddings are on held-out interactions."""

from recsys.evaluation.comparison import Comparison, compare
from recsys.evaluation.folds import Folds, evaluate_folds
from recsys.evaluation.knee import TOLERANCE, Knee, find_knee
from recsys.evaluation.metrics import METRICS, RankedHits
from recsys.evaluation.protocol import evaluate
from recsys.evaluation.ranking import Scorer
from recsys.evaluation.result import Evaluation
from recsys.evaluation.sampled import SampledEvaluation, evaluate_sampled
from recsys.evaluation.sampled_files import SampledTest, read_sampled_test
from recsys.evaluation.seeds import Entry
from recsys.evaluation.slices import (
    Slice,
    by_activity,
    by_item_popularity,
    item_slices,
    slices,
)
from recsys.evaluation.unseen_users import evaluate_held_out, evaluate_new_users
from recsys.logs.leaks import require_validation

__all__ = [
    "METRICS",
    "TOLERANCE",
    "Comparison",
    "Entry",
    "Evaluation",
    "Folds",
    "Knee",
    "RankedHits",
    "SampledEvaluation",
    "SampledTest",
    "Scorer",
    "Slice",
    "by_activity",
    "by_item_popularity",
    "compare",
    "evaluate",
    "evaluate_folds",
    "evaluate_held_out",
    "evaluate_new_users",
    "evaluate_sampled",
    "find_knee",
    "item_slices",
    "read_sampled_test",
    "require_validation",
    "slices",
]
