"""Hyperparameters, found on a validation part."""

from recsys.evaluation.tuning.measure import Task
from recsys.evaluation.tuning.search import Budget, Tuned, tune
from recsys.evaluation.tuning.space import SPACES, Range, Space
from recsys.evaluation.tuning.study import Trial

__all__ = ["SPACES", "Budget", "Range", "Space", "Task", "Trial", "Tuned", "tune"]
