"""The work of a fit, as it is counted: so that a search ends at the same point on any machine."""

from typing import Any

import numpy as np
import scipy.sparse as sp

from recsys.models import ALS, EASE, KNN, SVD, Blend, Distilled, parameters_of
from recsys.models.distilled.student import N_SAMPLED
from recsys.models.distilled.teacher import teacher_for
from recsys.tuning.task import Task

_STEPS_OF_SVD = 8
_PACE_OF_EASE = 8  # n^3 / 2 multiplications of whole blocks, each of which takes a quarter as long


def work_of(model: Any, task: Task) -> float:
    """Return what fitting and measuring a model takes, in multiplications with additions."""
    of_fit, of_list = _fit_of(model, task.user_items), _list_of(model, task.user_items)
    return of_fit + task.n_users * of_list


def _fit_of(model: Any, user_items: sp.csr_array) -> float:
    """Return what a fit takes."""
    n_pairs, (n_users, n_items) = user_items.nnz, user_items.shape
    match model:
        case ALS() | SVD():
            iterations = parameters_of(model).get("iterations", _STEPS_OF_SVD)
            of_rows = (n_users + n_items) * model.factors**2
            return float(iterations * (4 * n_pairs * model.factors + of_rows))
        case Blend():
            return sum(_fit_of(half, user_items) for half in (model.als, model.svd))
        case EASE():
            return float(min(n_users, n_items)) ** 3 / _PACE_OF_EASE
        case KNN():
            return float(np.square(np.diff(user_items.indptr).astype(np.float64)).sum())
        case Distilled():
            teacher = model.teacher or teacher_for(user_items)
            of_epoch = 3 * min(n_items, N_SAMPLED) * model.factors
            of_user = _list_of(teacher, user_items) + model.iterations * of_epoch
            return _fit_of(teacher, user_items) + float(n_users * of_user)
    return float(n_pairs)


def _list_of(model: Any, user_items: sp.csr_array) -> float:
    """Return what the scores of all items for one user take."""
    n_users, n_items = user_items.shape
    of_history = user_items.nnz / n_users
    if isinstance(model, EASE):
        return float(of_history * n_items)
    if isinstance(model, KNN):
        return float(of_history * model.neighbors + n_items)
    return float(n_items * model.factors)
