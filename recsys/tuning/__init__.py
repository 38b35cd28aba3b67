"""Hyperparameters, found on a validation part."""

from recsys.settings import Budget
from recsys.tuning.advice import Advice, advise, loss_sentence
from recsys.tuning.choice import Choice, choose
from recsys.tuning.compared import Compared
from recsys.tuning.fits import Tried
from recsys.tuning.search import Tuned, tune
from recsys.tuning.space import SPACES, SPACES_IN_ORDER, Range, Space
from recsys.tuning.study import Trial, require_study
from recsys.tuning.task import Task

__all__ = [
    "SPACES",
    "SPACES_IN_ORDER",
    "Advice",
    "Budget",
    "Choice",
    "Compared",
    "Range",
    "Space",
    "Task",
    "Trial",
    "Tried",
    "Tuned",
    "advise",
    "choose",
    "loss_sentence",
    "require_study",
    "tune",
]
