"""A recommender in other processes: pickled, spawned and forked."""

import pickle
import subprocess
import sys
from multiprocessing import get_context
from pathlib import Path
from typing import Any

import pytest
from joblib import Parallel, delayed

from recsys import errors, read_log
from recsys.errors import (
    GateFailedError,
    RecsysError,
    UnknownUserError,
    UnreadableError,
    VersionNotFoundError,
)
from recsys.logs import Interactions
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.store import activate, prune, publish, versions
from recsys.vectors import Ids
from tests.markdown import ROOT
from tests.store.releases import ODD_IDS, small_release

LOG = ROOT / "data" / "sample" / "events.parquet"
KINDS = [kind for kind in vars(errors).values() if isinstance(kind, type)]

FORKS = """
import os, sys
import recsys

recommender = recsys.open(sys.argv[1])
expected = recommender.recommend("u1", 3).to_dict()
children = []
for _ in range(3):
    child = os.fork()
    if child == 0:
        found = [recommender.recommend("u1", 3).to_dict() for _ in range(50)]
        os._exit(0 if found == [expected] * 50 else 1)
    children.append(child)
assert all(recommender.recommend("u1", 3).to_dict() == expected for _ in range(50))
assert [os.waitpid(child, 0)[1] for child in children] == [0, 0, 0]
"""


def pickled(value: Any) -> Any:
    return pickle.loads(pickle.dumps(value))  # noqa: S301


def ask(recommender: Recommender, user_id: str) -> dict:
    return recommender.recommend(user_id, 3, where="title like 'Title%'").to_dict()


def explain(recommender: Recommender, user_id: str) -> dict:
    return recommender.explain(user_id, "i1").to_dict()


def matrix_of(log: Interactions) -> tuple:
    user_items = log.user_items()
    return user_items.shape, user_items.data.tolist(), log.users[0], log.items.find("i9")


def test_a_recommender_pickles_as_its_version(tmp_path: Path, monkeypatch) -> None:
    publish(tmp_path / "store", small_release())
    monkeypatch.chdir(tmp_path)
    recommender = open_store("store")
    publish("store", small_release(seed=2))
    text = pickle.dumps(recommender)
    assert len(text) < 1000
    monkeypatch.chdir("/")
    again = pickle.loads(text)  # noqa: S301
    assert again.version == recommender.version
    assert ask(again, "u1") == ask(recommender, "u1")


def test_the_pickle_of_a_pruned_version_is_an_error_of_ours(tmp_path: Path) -> None:
    for seed in range(4):
        publish(tmp_path, small_release(seed=seed))
    oldest = versions(tmp_path)[-1].name
    text = pickle.dumps(open_store(tmp_path, oldest))
    activate(tmp_path, versions(tmp_path)[0].name)
    prune(tmp_path, 1)
    with pytest.raises(VersionNotFoundError):
        pickle.loads(text)  # noqa: S301


@pytest.mark.parametrize("method", ["spawn", "forkserver", "fork"])
def test_a_recommender_a_log_and_errors_work_in_processes(tmp_path: Path, method: str) -> None:
    publish(tmp_path, small_release())
    recommender, log = open_store(tmp_path), read_log(LOG)
    with get_context(method).Pool(1) as pool:
        assert pool.starmap(ask, [(recommender, "u1"), (recommender, "nobody")]) == [
            ask(recommender, "u1"),
            ask(recommender, "nobody"),
        ]
        assert pool.apply(matrix_of, [log]) == matrix_of(log)
        with pytest.raises(UnknownUserError, match=r"user 'nobody': not among the"):
            pool.apply(explain, [recommender, "nobody"])


@pytest.mark.parametrize("backend", ["loky", "multiprocessing", "threading"])
def test_a_recommender_a_log_and_errors_work_under_joblib(tmp_path: Path, backend: str) -> None:
    publish(tmp_path, small_release())
    recommender, log = open_store(tmp_path), read_log(LOG)
    with Parallel(n_jobs=2, backend=backend) as parallel:
        found = parallel(delayed(ask)(recommender, user_id) for user_id in ("u1", "u2", "nobody"))
        assert found == [ask(recommender, user_id) for user_id in ("u1", "u2", "nobody")]
        assert parallel([delayed(matrix_of)(log)]) == [matrix_of(log)]
        with pytest.raises(UnknownUserError, match=r"user 'nobody': not among the"):
            parallel([delayed(explain)(recommender, "nobody")])


@pytest.mark.parametrize("kind", KINDS, ids=lambda kind: kind.__name__)
def test_every_error_pickles(kind: type[RecsysError]) -> None:
    if kind is GateFailedError:
        error = kind(["a", "b"])
    elif kind is UnreadableError:
        error = kind("file: cannot be read", 24)
    else:
        error = kind("what was expected, what was got")
    again = pickled(error)
    assert (type(again), str(again), vars(again)) == (kind, str(error), vars(error))


def test_a_recommender_works_in_forks(tmp_path: Path) -> None:
    publish(tmp_path, small_release())
    done = subprocess.run([sys.executable, "-c", FORKS, str(tmp_path)], timeout=300)
    assert done.returncode == 0


def test_what_a_recommender_gives_pickles(tmp_path: Path) -> None:
    publish(tmp_path, small_release(n_users=len(ODD_IDS), user_ids=ODD_IDS))
    recommender = open_store(tmp_path)
    batch = recommender.recommend_many([*ODD_IDS, "nobody"], 2)
    again = pickled(batch)
    assert [found.to_dict() for found in again] == [found.to_dict() for found in batch]
    users = pickled(recommender.user_vectors)
    assert users.ids == recommender.user_vectors.ids
    assert [users.ids.find(id_) for id_ in ODD_IDS] == list(range(len(ODD_IDS)))
    ids = Ids(["a", "b"])
    assert (ids[1], ids.find("b")) == ("b", 1)  # what is made on the way does not stop it
    assert pickled(ids) == ids
