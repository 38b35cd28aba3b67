"""Threads of ours, and those of BLAS, which are set for the whole process."""

import os
import signal
import subprocess
import sys
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from threading import Barrier, Event

import numpy as np
import pytest
import scipy.sparse as sp
from threadpoolctl import threadpool_info, threadpool_limits

from recsys.base.stopping import StoppedError, stoppable
from recsys.base.threads import one_blas_thread, threads
from recsys.models import ALS, popularity_of
from tests.forks import GOT_THROUGH, in_fork
from tests.worlds import random_user_items

ROOT = Path(__file__).parents[2]


def blas_threads() -> set[int]:
    return {one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"}


@pytest.fixture(autouse=True)
def two_threads() -> Iterator[None]:
    with threadpool_limits(limits=2, user_api="blas"):
        yield


def test_a_block_that_ends_first_leaves_the_others_their_limit() -> None:
    first_is_in, second_is_in = Event(), Event()

    def first() -> None:
        with one_blas_thread():
            first_is_in.set()
            second_is_in.wait()

    def second() -> set[int]:
        first_is_in.wait()
        with one_blas_thread():
            second_is_in.set()
            ended_first.result()
            return blas_threads()

    with ThreadPoolExecutor(2) as pool:
        ended_first = pool.submit(first)
        inside = pool.submit(second).result()
    assert inside == {1}
    assert blas_threads() == {2}


def test_blocks_inside_blocks_restore_once() -> None:
    with one_blas_thread():
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {1}
    assert blas_threads() == {2}


def test_an_error_in_a_block_restores() -> None:
    with pytest.raises(KeyError), one_blas_thread():
        raise KeyError
    assert blas_threads() == {2}


def test_fold_ins_of_many_threads_leave_blas_as_it_was() -> None:
    user_items = random_user_items(60, 40, 0.2)
    model = ALS(factors=8, iterations=2)
    embeddings = model.fit(user_items)
    embed = model.fold_in(embeddings.items, popularity_of(user_items))
    together = Barrier(4)

    def work(row: int) -> np.ndarray:
        together.wait()
        return np.concatenate([embed(sp.csr_array(user_items[[row]])) for _ in range(20)])

    with ThreadPoolExecutor(4) as pool:
        found = list(pool.map(work, range(4)))
    for row, users in enumerate(found):
        np.testing.assert_array_equal(users, np.repeat(users[:1], 20, axis=0), err_msg=str(row))
    assert blas_threads() == {2}


@pytest.mark.skipif(not hasattr(os, "fork"), reason="no fork here")
def test_a_fork_in_a_block_of_another_thread_has_its_threads_back() -> None:
    def in_child() -> None:
        assert blas_threads() == {2}
        with one_blas_thread():
            assert blas_threads() == {1}
        assert blas_threads() == {2}

    inside, leave = Event(), Event()

    def work() -> None:
        with one_blas_thread():
            inside.set()
            leave.wait()

    with ThreadPoolExecutor(1) as pool:
        pool.submit(work)
        inside.wait()
        assert in_fork(in_child) == GOT_THROUGH
        leave.set()
    assert blas_threads() == {2}


def test_a_library_that_comes_with_a_later_import_is_held_too() -> None:
    program = """
from threadpoolctl import threadpool_info
from recsys.base.threads import one_blas_thread

def blas():
    return [one["num_threads"] for one in threadpool_info() if one["user_api"] == "blas"]

with one_blas_thread():
    assert set(blas()) == {1}
before = len(blas())
import scipy.linalg
assert len(blas()) > before
with one_blas_thread():
    assert set(blas()) == {1}
assert set(blas()) == {2}
"""
    env = {**os.environ, "OPENBLAS_NUM_THREADS": "2"}
    assert subprocess.run([sys.executable, "-c", program], cwd=ROOT, env=env).returncode == 0


def test_parts_are_worked_on_once_each_in_any_number_of_threads() -> None:
    for n in (1, 2, 5):
        with threads(n) as pool:
            done: list[int] = []
            found = pool.map(lambda part, done=done: done.append(part) or -part, iter(range(50)))
            assert found == [-part for part in range(50)]
            assert sorted(done) == list(range(50))
            assert pool.map(str, []) == []


def test_threads_work_at_the_same_time() -> None:
    together = Barrier(3, timeout=60)
    with threads(3) as pool:
        pool.map(lambda part: together.wait(), range(3))


def test_the_error_of_the_first_part_ends_the_others() -> None:
    begun, third = [], Event()

    def work(part: int) -> None:
        begun.append(part)
        if part == 2:
            third.wait(60)
            raise KeyError(part)
        if part == 3:
            third.set()
            raise ValueError(part)

    with threads(2) as pool, pytest.raises(KeyError):
        pool.map(work, range(1000))
    assert len(begun) < 1000


def test_a_signal_ends_a_long_map_between_two_parts() -> None:
    begun = []

    def work(part: int) -> None:
        begun.append(part)
        if part == 1:
            os.kill(os.getpid(), signal.SIGTERM)

    with pytest.raises(StoppedError), stoppable(), threads(2) as pool:
        pool.map(work, range(10**6))
    assert len(begun) < 10**6
