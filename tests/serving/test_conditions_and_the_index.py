"""A version with a forest: lists under conditions, exclusions and of any length miss nothing."""

from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import publish
from recsys.vectors import Embeddings
from tests.store.releases import small_release

N_USERS, N_ITEMS, FACTORS = 60, 3000, 16


@pytest.fixture(scope="module")
def recommender(tmp_path_factory) -> Recommender:
    """Embeddings of small whole numbers, whose norms go with what `visits` says of the items."""
    rng = np.random.default_rng(0)
    items = rng.integers(-3, 4, (N_ITEMS, FACTORS)) * rng.choice([1, 1, 1, 2, 4], (N_ITEMS, 1))
    users = rng.integers(-3, 4, (N_USERS, FACTORS))
    visits = np.argsort(np.argsort(np.linalg.norm(items, axis=1), kind="stable"))
    ids = [f"i{row}" for row in range(N_ITEMS)]
    release = small_release(
        N_USERS,
        N_ITEMS,
        FACTORS,
        embeddings=Embeddings(users.astype(np.float32), items.astype(np.float32)),
        attributes=pa.table({"item_id": ids, "visits": visits}),
    )
    store: Path = tmp_path_factory.mktemp("store")
    version = publish(store, release, IndexSettings(trees=3))
    assert version.manifest.index.main.kind == "annoy"
    return open_store(store)


def best_scores(recommender: Recommender, user: int, k: int, is_left) -> list[float]:
    scores = recommender.item_vectors.matrix @ recommender.user_vectors.matrix[user]
    return np.sort(scores[is_left])[::-1][:k].tolist()


@pytest.mark.parametrize("k", [1, 10, 100, 1000, 3000])
@pytest.mark.parametrize(
    ("where", "least", "most"),
    [("visits < 1900", 0, 1899), ("visits < 300", 0, 299), ("visits >= 1500", 1500, 3000)],
)
def test_a_condition_cuts_the_list_and_not_its_quality(
    recommender, k: int, where: str, least: int, most: int
) -> None:
    norms = np.linalg.norm(recommender.item_vectors.matrix, axis=1)
    visits = np.argsort(np.argsort(norms, kind="stable"))
    is_allowed = (visits >= least) & (visits <= most)
    user_ids = [f"u{user}" for user in range(0, N_USERS, 6)]
    together = recommender.recommend_many(user_ids, k, where=where, include_seen=True)
    for user_id, listed in zip(user_ids, together, strict=True):
        alone = recommender.recommend(user_id, k, where=where, include_seen=True)
        expected = best_scores(recommender, int(user_id[1:]), k, is_allowed)
        assert [item.score for item in alone.items] == expected
        assert listed.items == alone.items


@pytest.mark.parametrize("k", [1, 20, 100])
@pytest.mark.parametrize("n_shown", [501, 1500])
def test_what_was_shown_already_costs_nothing(recommender, k: int, n_shown: int) -> None:
    for user in range(0, N_USERS, 6):
        user_id = f"u{user}"
        pages = recommender.recommend(user_id, n_shown + k, include_seen=True).items
        shown = [item.item_id for item in pages[:n_shown]]
        found = recommender.recommend(user_id, k, exclude=shown, include_seen=True).items
        assert found == pages[n_shown:]
