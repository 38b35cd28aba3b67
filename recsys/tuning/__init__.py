"""Hyperparameters, found on a validation part."""

from recsys.settings import Budget
from recsys.tuning.search import Tuned, tune
from recsys.tuning.space import SPACES, Range, Space
from recsys.tuning.study import Trial, require_study
from recsys.tuning.task import Task

__all__ = ["SPACES", "Budget", "Range", "Space", "Task", "Trial", "Tuned", "require_study", "tune"]
