"""Requests a second: as a bucket of tokens has them, over all workers."""

from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.service.rate import Rate


def let_through(per_second: float, moments: list[float]) -> list[bool]:
    """A bucket of tokens, by hand."""
    most = max(per_second, 1.0)
    tokens, then, found = most, 0.0, []
    for moment in moments:
        tokens, then = min(most, tokens + (moment - then) * per_second), moment
        found.append(tokens >= 1 - 1e-6)
        tokens -= found[-1]
    return found


@given(
    per_second=st.sampled_from([0.25, 1.0, 2.0, 5.0]),
    steps=st.lists(st.integers(0, 8), max_size=40),
)
def test_it_is_a_bucket_of_tokens(per_second: float, steps: list[int]) -> None:
    moments = [sum(steps[: number + 1]) / 8 for number in range(len(steps))]
    given = iter(moments)
    rate = Rate(per_second, now=lambda: next(given))
    waits = [rate.seconds_to_wait("shop") for _ in moments]
    assert [wait == 0 for wait in waits] == let_through(per_second, moments)


def test_after_the_wait_a_request_passes() -> None:
    now = 0.0
    rate = Rate(3.0, now=lambda: now)
    while not (wait := rate.seconds_to_wait("shop")):
        pass
    assert rate.seconds_to_wait("another") == 0
    now = wait * 0.99
    assert rate.seconds_to_wait("shop") > 0
    now = wait
    assert rate.seconds_to_wait("shop") == 0


def test_workers_share_the_bucket(tmp_path: Path) -> None:
    """Each of two workers alone would take as much as both may."""
    workers = [Rate(200.0, tmp_path, lambda: 10.0) for _ in range(2)]
    waits = [worker.seconds_to_wait("shop") for _ in range(150) for worker in workers]
    assert sum(wait == 0 for wait in waits) == 200
    assert waits[-1] == pytest.approx(1 / 200)


def test_a_worker_that_is_replaced_finds_the_bucket_as_it_was(tmp_path: Path) -> None:
    before = Rate(0.5, tmp_path, lambda: 10.0)
    assert before.seconds_to_wait("shop") == 0
    assert Rate(0.5, tmp_path, lambda: 11.0).seconds_to_wait("shop") == 1.0
