import numpy as np

from recsys.models import ALS
from recsys.vectors import Ids, carry_over
from tests.worlds import random_user_items


def test_a_fit_goes_on_where_yesterday_stopped() -> None:
    today = random_user_items(60, 40, 0.2)
    yesterday = today[5:, :35]  # five users and five items are new today
    als = ALS(factors=5, regularization=0.1, iterations=30)
    old = als.fit(yesterday)
    start = carry_over(
        old,
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
