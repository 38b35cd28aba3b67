"""The work of a fit, as it is counted: so that a search ends at the same point on any machine.

It is in multiplications with additions of a dense product, of which a core does about 4e10 a
second; what waits for memory counts as many as it takes the time of. Fitted to what fits on Gowalla
and MovieLens 1M take of a processor, and right within a factor of two.
"""

from collections.abc import Collection
from typing import Any

import numpy as np
import scipy.sparse as sp

from recsys.models import ALS, EASE, KNN, SVD, Blend, Distilled
from recsys.models.distilled.student import N_SAMPLED, batches_of
from recsys.models.distilled.teacher import teacher_for
from recsys.tuning.task import Task

_RANKING = 25  # for a score: what it takes to find the largest
_PAIR, _ROW = 2_000, 140_000  # of a matrix: for what every fit begins with
_SVD_PAIR, _SVD_ROW = 80, 6  # for a factor; for its square
_ALS_PAIR, _ALS_ROW = 24, 2  # for a factor and an epoch; for its square
_EASE = 0.5  # for the cube of the smaller side
_KNN = 40  # for two items of one history
_ADAM = 200  # for a coordinate of an item, in a batch


def work_of(model: Any, task: Task, kept: Collection[str] = ()) -> float:
    """Return what fitting and measuring a model takes.

    Halves and teachers whose representation is among those `kept` are not fitted again.
    """
    of_fit, of_list = _fit_of(model, task.user_items, kept), _list_of(model, task.user_items)
    return of_fit + task.n_users * of_list


def _fit_of(model: Any, user_items: sp.csr_array, kept: Collection[str]) -> float:
    """Return what a fit takes."""
    n_pairs, (n_users, n_items) = user_items.nnz, user_items.shape
    n_rows = n_users + n_items
    first = float(_PAIR * n_pairs + _ROW * n_rows)
    if repr(model) in kept:
        return 0.0
    factors = int(getattr(model, "factors", 0))
    match model:
        case SVD():
            n_entries = n_pairs * (1 + model.window)
            n_rows += n_pairs if model.window else 0  # each pair begins a run
            return first + float(_SVD_PAIR * n_entries * factors + _SVD_ROW * n_rows * factors**2)
        case ALS():
            of_epoch = _ALS_PAIR * n_pairs * factors + _ALS_ROW * n_rows * factors**2
            return first + float(model.iterations * of_epoch)
        case Blend():
            return sum(_fit_of(half, user_items, kept) for half in (model.als, model.svd))
        case EASE():
            return first + _EASE * float(min(n_users, n_items)) ** 3
        case KNN():
            n_seen = np.diff(user_items.indptr).astype(np.float64)
            return first + _KNN * float(np.square(n_seen).sum())
        case Distilled():
            teacher = model.teacher or teacher_for(user_items)
            n_learning = min(n_users, model.most_users or n_users)
            n_batches = batches_of(n_learning, model.iterations)
            of_batches = n_batches * _ADAM * n_items * factors
            of_epoch = of_batches + n_learning * 3 * min(n_items, N_SAMPLED) * factors
            of_student = model.iterations * of_epoch + n_learning * _list_of(teacher, user_items)
            return _fit_of(teacher, user_items, kept) + float(of_student)
    return first


def _list_of(model: Any, user_items: sp.csr_array) -> float:
    """Return what the scores of all items for one user take, and finding the largest."""
    n_users, n_items = user_items.shape
    of_history = user_items.nnz / n_users
    if isinstance(model, EASE):
        return float((of_history + _RANKING) * n_items)
    if isinstance(model, KNN):
        return float(of_history * model.neighbors + _RANKING * n_items)
    return float(n_items * (model.factors + _RANKING))
