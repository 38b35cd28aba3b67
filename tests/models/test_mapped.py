"""Features of models that are fitted without them: the map after the fit."""

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.errors import DataError
from recsys.features import Features, KnownItems, vectors_of_features
from recsys.models import ALS, SVD, Blend, Distilled, Item2Vec, Model, Popularity, Softmax
from recsys.models.protocol import mean_weight_of, popularity_of

N_USERS, N_ITEMS, N_GROUPS = 80, 40, 4
GROUP_OF = np.arange(N_ITEMS) % N_GROUPS


def _world() -> tuple[sp.csr_array, Features]:
    """Return users of one group of items each; of the last group of four items nobody knows."""
    rng = np.random.default_rng(0)
    taste = np.arange(N_USERS) % N_GROUPS
    matrix = rng.random((N_USERS, N_ITEMS)) < np.where(taste[:, None] == GROUP_OF, 0.6, 0.05)
    matrix[:, -N_GROUPS:] = matrix[-1] = False
    of = sp.csr_array(np.eye(N_GROUPS)[GROUP_OF])
    return sp.csr_array(matrix.astype(np.float32)), Features(
        of, sp.csr_array(np.eye(N_GROUPS)[taste])
    )


@pytest.mark.parametrize(
    "model",
    [
        ALS(8),
        SVD(6),
        SVD.pca(6),
        Item2Vec(6),
        Softmax(6, iterations=3),
        Blend(ALS(4), SVD(4), scale="deviation"),
        Distilled(6, iterations=3, teacher=SVD(8)),
        Popularity(),
    ],
    ids=lambda model: model.name,
)
def test_unknown_items_are_near_those_that_their_features_are_of(model: Model) -> None:
    matrix, features = _world()
    found = model.fit(matrix, features=features)
    bare = model.fit(matrix)
    assert found.item_map is not None
    assert found.user_map is not None
    assert not bare.items[-N_GROUPS:].any()
    known = KnownItems.of(features.items, found.items, popularity_of(matrix), found.item_map)
    new = known.vectors(features.items)[-N_GROUPS:]
    np.testing.assert_allclose(found.items[-N_GROUPS:], new, atol=1e-6)
    np.testing.assert_allclose(
        found.users[-1], vectors_of_features(features.users, found.user_map)[-1], atol=1e-6
    )
    if model.name == "popularity":
        assert (new > 0).all()
        return
    if model.name != "als":
        np.testing.assert_array_equal(found.items[:-N_GROUPS], bare.items[:-N_GROUPS])
    scores = found.users[:-1] @ new.T  # of a new item of each group
    own = (np.arange(N_USERS - 1) + 0) % N_GROUPS
    best = np.argmax(scores, axis=1)
    assert (GROUP_OF[-N_GROUPS:][best] == own).mean() > 0.9
    embed = model.fold_in(
        found.items, popularity_of(matrix), mean_weight_of(matrix), found.summands
    )
    priors = vectors_of_features(features.users, found.user_map)
    np.testing.assert_allclose(embed(matrix, priors), found.users, atol=2e-4)


def test_features_of_other_rows_are_refused() -> None:
    matrix, features = _world()
    for model in (ALS(4), SVD(4)):
        with pytest.raises(DataError, match="features of items: expected 39 rows"):
            model.fit(sp.csr_array(matrix[:, 1:]), features=features)
