"""Dimension curves whose numbers are chosen."""

from collections.abc import Sequence

import numpy as np

from recsys.evaluation import Evaluation
from recsys.evaluation.dimensions import DimensionCurve, DimensionPoint
from recsys.evaluation.result import ItemCounts
from recsys.vectors import STORAGES

N_USERS, N_ITEMS, K = 400, 50, 20
BYTES = {"float32": 4, "float16": 2, "int8": 1}


def evaluation(mean: float) -> Evaluation:
    """Users who differ much from each other, always in the same way."""
    per_user = mean + np.linspace(-0.1, 0.1, N_USERS)
    names = [f"ndcg@{K}", f"recall@{K}"]
    return Evaluation(
        metrics=dict.fromkeys(names, mean),
        k=K,
        n_users=N_USERS,
        n_items=N_ITEMS,
        left_out={},
        per_user=dict.fromkeys(names, per_user),
        user_idx=np.arange(N_USERS, dtype=np.int32),
        n_seen=np.ones(N_USERS, dtype=np.int32),
        items=ItemCounts(*np.zeros((3, 1), dtype=np.int64)),
    )


def curve(
    means: Sequence[float],
    *,
    first: int = 8,
    seconds: Sequence[float] | None = None,
    lost_in_int8: float = 0.0,
) -> DimensionCurve:
    """Return a curve over first, 2 first, 4 first... factors with these accuracies."""
    points = [
        DimensionPoint(
            factors=first << place,
            storage=storage,
            evaluation=evaluation(mean - (lost_in_int8 if storage == "int8" else 0)),
            vector_bytes=BYTES[storage] * (first << place),
            n_bytes=BYTES[storage] * (first << place) * 1000,
            train_seconds=seconds[place] if seconds else 0.5 * 2**place,
            query_microseconds=40.0,
        )
        for place, mean in enumerate(means)
        for storage in STORAGES
    ]
    return DimensionCurve("als", points)
