"""A log crosses a process: pools, joblib and schedulers pickle what they send."""

import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import numpy as np
import pyarrow as pa
import pytest

import recsys
from recsys.logs import Interactions
from recsys.models import ALS
from recsys.vectors import Embeddings

MODEL = ALS(factors=4, iterations=2)


def a_log(integers: bool) -> Interactions:
    users = [n % 7 for n in range(60)]
    items = [n % 11 for n in range(60)]
    if not integers:
        users, items = [f"u{n}" for n in users], [f"i{n}" for n in items]
    return recsys.read_log(
        pa.table(
            {
                "user_id": users,
                "item_id": items,
                "timestamp": [1_700_000_000 + n for n in range(60)],
            }
        )
    )


def look_up(log: Interactions) -> tuple[object, ...]:
    """Use everything that ids keep once they were asked."""
    return log.users[0], log.items.find(log.items[1]), log.items.rows([log.items[2]]).tolist()


def fitted(log: Interactions) -> tuple[tuple[object, ...], Embeddings]:
    return look_up(log), MODEL.fit(log.user_items())


@pytest.mark.parametrize("integers", [True, False])
@pytest.mark.parametrize("part", ["whole", "train", "test"])
def test_a_log_is_the_same_after_pickle(integers: bool, part: str) -> None:
    log = a_log(integers)
    if part != "whole":
        log = recsys.split_by_time(log)[part == "test"]
    answers = look_up(log)
    back = pickle.loads(pickle.dumps(log))  # noqa: S301
    assert look_up(back) == answers
    assert (back.users, back.items) == (log.users, log.items)
    for name in ("user_idx", "item_idx", "weight", "timestamp"):
        np.testing.assert_array_equal(getattr(back, name), getattr(log, name))
    assert back.row_counts == log.row_counts
    assert (back.split_info is None) == (part == "whole")


@pytest.mark.parametrize("how", ["spawn", "fork"])
def test_a_process_fits_the_log_that_it_is_sent(how: str) -> None:
    log = a_log(integers=False)
    expected = fitted(log)
    with ProcessPoolExecutor(1, mp_context=get_context(how)) as pool:
        answers, embeddings = pool.submit(fitted, log).result()
    assert answers == expected[0]
    np.testing.assert_array_equal(embeddings.users, expected[1].users)
    np.testing.assert_array_equal(embeddings.items, expected[1].items)
