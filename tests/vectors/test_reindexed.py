import numpy as np
import scipy.sparse as sp

from recsys.models import ALS
from recsys.models.protocol import popularity_of
from recsys.vectors import Embeddings, Ids, align
from tests.worlds import random_user_items, tastes


def test_a_fit_goes_on_where_yesterday_stopped() -> None:
    today = random_user_items(60, 40, 0.2)
    yesterday = today[5:, :35]  # five users and five items are new today
    als = ALS(factors=5, regularization=0.1, iterations=30)
    old = als.fit(yesterday)
    start = old.reindexed(
        Ids(range(5, 60)),
        Ids(range(35)),
        to_users=Ids(range(60)),
        to_items=Ids(range(40)),
    )
    assert not start.users[:5].any()
    np.testing.assert_array_equal(start.items[:35], old.items)
    cold: list[float] = []
    warm: list[float] = []
    als.fit(today, on_epoch=lambda epoch: cold.append(epoch.loss))
    als.fit(today, start=start, on_epoch=lambda epoch: warm.append(epoch.loss))
    assert warm[2] < cold[2]
    assert all(np.isfinite(warm))


def test_a_warm_start_needs_alignment_too() -> None:
    # ALS ends in the eigenbasis of its own items, so that even a warm start turns the coordinates.
    today = tastes(n_users=120, n_items=60, per_user=10)
    user_items = today.user_items()
    als = ALS(factors=6, regularization=0.1, iterations=20)
    old = als.fit(sp.csr_array(user_items[:100]))
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((6, 6)))[0]
    published = Embeddings(
        *((matrix @ rotation).astype(np.float32) for matrix in (old.users, old.items))
    )
    start = published.reindexed(
        Ids(today.users.tolist()[:100]),
        today.items,
        to_users=today.users,
        to_items=today.items,
    )
    warm = als.fit(user_items, start=start)
    found = align(warm.items, published.items, popularity_of(user_items))
    assert found.cosine_raw < 0.7 < 0.95 < found.cosine_aligned
    aligned = found.apply(warm)
    folded = als.fold_in(aligned.items, popularity_of(user_items))(user_items)
    np.testing.assert_allclose(folded, aligned.users, rtol=1e-3, atol=1e-4)


def test_a_start_may_be_rotated() -> None:
    """The night after an alignment starts from vectors that are in no eigenbasis."""
    user_items = random_user_items(60, 40, 0.2)
    als = ALS(factors=5, regularization=0.1, iterations=3)
    start = als.fit(user_items)
    rotation = np.linalg.qr(np.random.default_rng(0).standard_normal((5, 5)))[0]
    turned = Embeddings(
        *((matrix @ rotation).astype(np.float32) for matrix in (start.users, start.items))
    )
    plain, from_turned = (
        als.fit(user_items, start=one).scores(slice(None)) for one in (start, turned)
    )
    np.testing.assert_allclose(from_turned, plain, atol=5e-3)
