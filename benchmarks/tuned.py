"""Settings found on validation parts cut from train, and the grids that they were found on."""

import itertools
from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any

import scipy.sparse as sp

from recsys.evaluation import Scorer
from recsys.models import ALS, SVD, Blend, Distilled, Model, Softmax

Grid = Mapping[str, list[Any]]

GRIDS: dict[str, Grid] = {  # of `benchmarks.quality --tune`
    "als": {
        "regularization": [0.02, 0.05, 0.1, 0.2, 0.4],
        "regularization_exponent": [0.5, 1.0],
        "unobserved_weight": [0.005, 0.01, 0.02, 0.05],
        "item_exponent": [0.0, 0.25, 0.5],
    },
    "svd": {
        "user_exponent": [0.25, 0.35, 0.5],
        "item_exponent": [0.25, 0.35, 0.45],
        "popularity_exponent": [-0.1, 0.0, 0.1],
        "spectral_power": [0.5, 1.0],
    },
    "softmax": {
        "temperature": [0.09, 0.1, 0.12],
        "user_exponent": [0.0, 0.25, 0.5],
    },
    "distilled": {
        "temperature": [0.05, 0.06, 0.07, 0.1],
        "teacher_share": [0.4, 0.6, 0.8],
    },
}
PUBLISHED_GRIDS: dict[str, Grid] = {  # of `benchmarks.published --tune`; smaller, denser logs
    "als": {
        "factors": [128, 256],
        "regularization": [0.3, 1.0, 3.0],
        "unobserved_weight": [0.1, 0.2, 0.4, 0.8],
    },
    "svd": {
        "factors": [64, 128, 256],
        "user_exponent": [0.0, 0.25],
        "item_exponent": [0.25, 0.35, 0.45],
        "popularity_exponent": [-0.2, -0.1],
        "spectral_power": [0.5, 1.0],
    },
}


def tuned_als(factors: int) -> ALS:
    """Return ALS as tuned on Gowalla's validation part: more factors want more regularization.

    With 64 factors, as `benchmarks.tune` found it: few epochs, and hardly any regularization.
    """
    if factors <= 64:
        return ALS(
            factors=factors,
            regularization=0.0201,
            unobserved_weight=0.00505,
            user_exponent=0.134,
            item_exponent=0.427,
            iterations=4,
        )
    regularization = 0.1 if factors <= 128 else 0.3 if factors <= 512 else 0.5
    return ALS(
        factors=factors,
        regularization=regularization,
        unobserved_weight=0.01,
        item_exponent=0.25,
    )


def tuned_svd(factors: int) -> SVD:
    """Return SVD as tuned on Gowalla's validation part: many factors find too popular items."""
    if factors <= 64:
        return SVD(factors=factors, user_exponent=0.5, item_exponent=0.25)
    if factors < 512:
        return SVD(factors=factors)
    return SVD(
        factors=factors,
        item_exponent=0.4 if factors >= 1024 else 0.35,
        popularity_exponent=-0.1,
    )


def tuned_softmax(factors: int) -> Softmax:
    """Return Softmax as tuned on Gowalla's validation part, at 64 factors."""
    return Softmax(factors=factors)


def tuned_distilled(factors: int) -> Distilled:
    """Return Distilled as tuned elsewhere on a fifth of train; many factors tell more apart."""
    return Distilled(
        factors=factors, temperature=0.07 if factors <= 64 else 0.06, teacher_share=0.6
    )


def tuned_blend(factors: int) -> Blend:
    """Return three quarters of SVD and one of ALS, each as tuned alone; the share as it comes."""
    return Blend(tuned_als(factors // 4), tuned_svd(factors - factors // 4))


TUNED: dict[str, Callable[[int], Model]] = {  # on Gowalla
    "als": tuned_als,
    "svd": tuned_svd,
    "softmax": tuned_softmax,
    "distilled": tuned_distilled,
    "blend": tuned_blend,
}


def print_best(
    model: Model,
    grid: Grid,
    user_items: sp.csr_array,
    measure: Callable[[Scorer], Mapping[str, float]],
    metrics: tuple[str, str],
) -> None:
    """Print the eight settings of a grid that are best by the second of two metrics."""
    found: list[tuple[float, float, dict[str, Any]]] = []
    for values in itertools.product(*grid.values()):
        changes: dict[str, Any] = dict(zip(grid, values, strict=True))
        measured = measure(replace(model, **changes).fit(user_items))
        found.append((measured[metrics[0]], measured[metrics[1]], changes))
    print(f"{model.name}, the best of {len(found)}: {', '.join(metrics)} on validation")
    for first, second, changes in sorted(found, key=lambda one: -one[1])[:8]:
        print(f"{first:.4f} {second:.4f} {changes}", flush=True)


PUBLISHED_SETTINGS: dict[str, list[ALS | SVD | Distilled]] = {  # the best on validation first
    "gowalla": [tuned_svd(1024), tuned_als(512)],
    "ml-1m LCFN": [
        ALS(factors=256, regularization=1.0, unobserved_weight=0.4),
        Distilled(
            64,
            ALS(256, regularization=1.0, unobserved_weight=0.4),
            temperature=0.1,
            teacher_share=0.6,
        ),
        SVD(factors=64, user_exponent=0.25, popularity_exponent=-0.2, spectral_power=0.5),
    ],
    "ml-1m NCF": [
        ALS(factors=256, regularization=1.0, unobserved_weight=0.8),
        SVD(factors=128, user_exponent=0.25, popularity_exponent=-0.2, spectral_power=0.5),
    ],
    "ml-1m LightGCN++": [
        ALS(factors=256, regularization=1.0, unobserved_weight=0.4),
        SVD(factors=64, user_exponent=0.25, popularity_exponent=-0.2, spectral_power=0.5),
    ],
    "lastfm LightGCN": [
        ALS(factors=256, regularization=1.0, unobserved_weight=0.1),
        SVD(factors=128, user_exponent=0.25, popularity_exponent=-0.2),
    ],
    "lastfm LightGCN++": [
        ALS(factors=128, regularization=1.0, unobserved_weight=0.2),
        SVD(
            factors=128,
            user_exponent=0.0,
            item_exponent=0.25,
            popularity_exponent=-0.2,
            spectral_power=0.5,
        ),
    ],
}
