"""The maps from features to embeddings of a model that is fitted without them."""

from collections.abc import Callable
from dataclasses import replace
from typing import Any

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.features import Features, feature_map, vectors_of_features
from recsys.features.alike import with_new_items
from recsys.features.ridge import DEFAULT_RIDGE
from recsys.features.ridge_choice import chosen_ridge
from recsys.models.protocol import FoldIn, UserItems, checked, popularity_of
from recsys.vectors import Embeddings, FloatMatrix

_LEAST = 1e-9  # a system of zeros stays solvable


def mapped(embeddings: Embeddings, user_items: UserItems, features: Features | None) -> Embeddings:
    """Return the embeddings of a fit with the maps of features, see `recsys.features`.

    The map is the ridge regression of all rows with interactions, which count alike: most are rare,
    and so are new ones at first. What it gives an item is the mean of what it gives known items
    like it: also the part of their lengths that is popularity. A row without interactions, which
    was zero, becomes what the map gives, and an item gets what similar ones add (`KnownItems`); it
    adds to users what known items of such rows add.
    """
    if features is None:
        return embeddings
    matrix = checked(user_items)
    features.require_rows(*matrix.shape)
    found: dict[str, Any] = {"ridges": {}}
    users, items = embeddings.users, embeddings.items
    for name, described, rows, others, counts in (
        ("item", features.items, items, users, popularity_of(matrix)),
        ("user", features.users, users, items, np.diff(matrix.indptr)),
    ):
        if described is not None:
            known = (counts > 0).astype(np.float64)
            ridge = chosen_ridge(described, rows, known, others)
            to = feature_map(described, rows, known, ridge)
            if name == "item":
                filled = with_new_items(described, rows, counts, to)
            else:
                filled = _filled(rows, vectors_of_features(described, to), counts)
            found |= {f"{name}_map": to, f"{name}s": filled}
            found["ridges"][name] = ridge
    if embeddings.summands is not None and "items" in found:
        counts = popularity_of(matrix)
        said = summands_of(found["items"], embeddings, counts)
        found["summands"] = _filled(embeddings.summands, said, counts)
    return replace(embeddings, **found)


def summands_of(
    items: FloatMatrix, known: Embeddings, popularity: NDArray[np.integer]
) -> FloatMatrix:
    """Return what items add to a user of whom nothing but their embeddings is known.

    It is what known items of such embeddings add: a linear map by ridge regression over those with
    users, which count alike.

    Parameters
    ----------
    items : ndarray of float32, shape (n, factors)
        A row of zeros adds nothing.
    known : Embeddings
        With summands.
    popularity : ndarray of int, shape (n_known,)
        Number of users of each known item.
    """
    if known.summands is None:
        raise ValueError("expected embeddings with summands")
    has_users = np.asarray(popularity) > 0
    rows = np.asarray(known.items, dtype=np.float64)[has_users]
    gram = rows.T @ rows
    ridge = DEFAULT_RIDGE * max(float(np.trace(gram)) / max(len(rows), 1), _LEAST)
    right = rows.T @ np.asarray(known.summands, dtype=np.float64)[has_users]
    found = np.asarray(items) @ np.linalg.solve(gram + ridge * np.eye(len(gram)), right)
    return np.asarray(found, dtype=np.float32)


def with_priors(embed: Callable[[sp.csr_array], FloatMatrix]) -> FoldIn:
    """Return a fold-in by which an empty history becomes what the features of its user say."""

    def embedded(user_items: sp.csr_array, /, priors: FloatMatrix | None = None) -> FloatMatrix:
        users = embed(user_items)
        if priors is None:
            return users
        return _filled(users, priors, np.diff(sp.csr_array(user_items).indptr))

    return embedded


def _filled(rows: FloatMatrix, said: FloatMatrix, counts: NDArray[np.integer]) -> FloatMatrix:
    return np.where((counts > 0)[:, None], rows, said)
