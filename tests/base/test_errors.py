"""Errors that cross a process, as those of pools and schedulers do."""

import copy
import pickle
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import pytest

from recsys import errors
from recsys.base.errors import GateFailedError, RecsysError
from recsys.store import Check

CHECK = Check("recall", 0.91, 0.98, passed=False, sentence="recall .91 is below .98", refuses=True)
ALL = [
    *(
        getattr(errors, name)(f"{name}: expected one, got two")
        for name in errors.__all__
        if name != "GateFailedError"
    ),
    GateFailedError(["recall .91 is below .98"]),
    GateFailedError(["recall .91 is below .98", "and another"], (CHECK,), "v1"),
]


def raised(error: RecsysError) -> None:
    raise error


@pytest.mark.parametrize("error", ALL, ids=lambda error: type(error).__name__)
@pytest.mark.parametrize("protocol", range(pickle.HIGHEST_PROTOCOL + 1))
def test_an_error_is_the_same_after_pickle(error: RecsysError, protocol: int) -> None:
    for back in (pickle.loads(pickle.dumps(error, protocol)), copy.deepcopy(error)):  # noqa: S301
        assert type(back) is type(error)
        assert str(back) == str(error)
        assert vars(back) == vars(error)


@pytest.mark.parametrize("how", ["spawn", "forkserver"])
def test_an_error_of_a_process_of_a_pool_says_the_same(how: str) -> None:
    with ProcessPoolExecutor(1, mp_context=get_context(how)) as pool:
        with pytest.raises(GateFailedError) as caught:
            pool.submit(raised, ALL[-1]).result()
        assert str(caught.value) == str(ALL[-1])
        assert caught.value.checks == (CHECK,)
        assert caught.value.version == "v1"
