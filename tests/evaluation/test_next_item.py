"""The last event of each user, beside a slow twin and in worlds where users go back, or never."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.evaluation import evaluate_next
from recsys.logs import Interactions
from recsys.models import KNN, SVD, Popularity
from recsys.vectors import Ids
from tests.worlds import START


def log_of(histories: list[list[int]], n_items: int, seed: int = 0) -> Interactions:
    """Each user's items in order, an event a minute; rows are in random order."""
    events = [(u, i, START + 60 * t) for u, one in enumerate(histories) for t, i in enumerate(one)]
    user, item, time = np.random.default_rng(seed).permutation(np.array(events)).T
    return Interactions(
        user.astype(np.int32),
        item.astype(np.int32),
        np.ones(len(events), dtype=np.float32),
        time,
        Ids(range(len(histories))),
        Ids(range(n_items)),
    )


HISTORIES = st.lists(st.lists(st.integers(0, 7), min_size=1, max_size=8), min_size=2, max_size=9)


@given(HISTORIES, st.booleans())
@settings(max_examples=40, deadline=None)
def test_it_is_the_slow_twin(histories: list[list[int]], include_seen: bool) -> None:
    rest = [one[:-1] if len(one) > 1 else one for one in histories]
    count = [len({u for u, one in enumerate(rest) if item in one}) for item in range(8)]
    hits, n_repeats = [], 0
    for one, known in zip(histories, rest, strict=True):
        if len(one) < 2 or count[one[-1]] == 0:
            continue
        n_repeats += one[-1] in known
        ranked = sorted(range(8), key=lambda item: (-count[item], item))
        shown = [item for item in ranked if include_seen or item not in known]
        hits.append(one[-1] in shown[:2])
    log = log_of(histories, 8)
    if not hits:
        with pytest.raises(DataError, match="expected a user with two events"):
            evaluate_next(Popularity(), log, k=2, include_seen=include_seen)
        return
    found = evaluate_next(Popularity(), log, k=2, include_seen=include_seen)
    assert found.evaluation.metrics["hit_rate@2"] == pytest.approx(np.mean(hits))
    assert found.n_repeats == n_repeats


@pytest.mark.parametrize("model", [SVD(factors=4, recency=1.0), KNN()], ids=lambda one: one.name)
def test_whether_users_go_back_is_learned(model) -> None:
    rng = np.random.default_rng(0)
    pairs = [rng.choice(4, 2, replace=False) + 4 * (user % 3) for user in range(30)]
    back_and_forth = log_of([[*one, *one, *one] for one in pairs], 12)
    found = evaluate_next(model, back_and_forth, k=2)
    assert (found.include_seen, found.n_repeats) == (True, 30)
    assert found.evaluation.metrics["hit_rate@2"] > 0.6
    never = evaluate_next(model, back_and_forth, k=2, include_seen=False)
    assert never.evaluation.metrics["hit_rate@2"] == 0

    onwards = log_of([list(rng.permutation(4) + 4 * (user % 3)) for user in range(30)], 12)
    found = evaluate_next(model, onwards, k=2)
    assert (found.include_seen, found.n_repeats) == (False, 0)
    assert found.evaluation.metrics["hit_rate@2"] == 1


def test_a_log_without_order_is_refused() -> None:
    log = replace(log_of([[0, 1], [1, 0]], 2), timestamp=None)
    with pytest.raises(DataError, match="the order of histories needs a timestamp"):
        evaluate_next(Popularity(), log)
    assert evaluate_next(Popularity(), replace(log, order="rows"), k=1, include_seen=True)
