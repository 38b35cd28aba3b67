"""A store that holds a version of another log is recognised by users, items and pairs."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import numpy as np

from recsys.monitoring.another_log import reason_for_another_log
from recsys.store.seen_lists import SeenLists
from recsys.vectors import Ids
from tests.worlds import as_interactions, random_user_items


def version_of(log: Any) -> Any:
    """Return what is compared of a version: its ids, and what its users had seen."""
    matrix = log.user_items()
    seen = SeenLists(matrix.indptr, matrix.indices)
    return SimpleNamespace(
        users=SimpleNamespace(ids=log.users, seen=seen), items=SimpleNamespace(ids=log.items)
    )


def test_the_same_log_and_a_part_of_it_are_no_other_log() -> None:
    log = as_interactions(random_user_items(60, 80, 0.1))
    for later in (log, log.select(np.arange(0, len(log), 2)).compact()):
        assert reason_for_another_log(version_of(log), later) is None


def test_another_log_is_known_by_its_items_or_where_ids_agree_by_its_pairs() -> None:
    rng = np.random.default_rng(0)
    log = as_interactions(random_user_items(60, 80, 0.1))
    other = replace(log, items=Ids([f"t{row}" for row in range(len(log.items))]))
    assert reason_for_another_log(version_of(log), other) == "of its 80 items 0% are in this log"
    shuffled = replace(log, item_idx=rng.permutation(log.item_idx))
    reason = reason_for_another_log(version_of(log), shuffled)
    assert str(reason).startswith("of what its users had seen ")
