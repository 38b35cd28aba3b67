"""Lists of many users on a card that is emulated, beside those of the index."""

import sys
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.devices import on_device
from recsys.cuda import device, lists
from recsys.errors import ConfigError
from recsys.evaluation import evaluate
from recsys.serving import Recommender, write_batch
from recsys.serving import open as open_store
from recsys.store import publish
from recsys.vectors import Embeddings
from tests.command_line import run
from tests.cuda.emulator import Emulator
from tests.store.releases import small_release
from tests.worlds import random_user_items

N_USERS, K = 60, 5
WORLD = random_user_items(70, 40, 0.2, seed=1)
real_open_card = device.open_card


def with_pairs(world: sp.csr_array, is_kept: NDArray[np.bool_]) -> sp.csr_array:
    """Return some of the entries of a matrix."""
    users, items = (one[is_kept] for one in world.nonzero())
    return sp.csr_array((np.ones(len(users), np.float32), (users, items)), world.shape)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("store")
    publish(folder, small_release(n_users=N_USERS, n_items=50))
    return folder


@pytest.fixture
def recommender(store: Path) -> Recommender:
    return open_store(store)


@pytest.fixture
def searched(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> list[int]:
    """Let the machine have a card; how many lists each search of it makes."""
    from recsys.cuda.lists import CardSearcher

    found: list[int] = []
    real = CardSearcher.search_many

    def search_many(self, users, *others):  # type: ignore[no-untyped-def]
        found.append(len(users))
        return real(self, users, *others)

    monkeypatch.setattr(CardSearcher, "search_many", search_many)
    monkeypatch.setattr(device, "open_card", lambda: emulator)
    return found


def test_lists_of_a_card_are_those_of_the_index(
    recommender: Recommender, searched: list[int]
) -> None:
    users = [f"u{row}" for row in range(N_USERS)] + ["nobody", "somebody"]
    asked = {"histories": [None] * (N_USERS + 1) + [["i1", "i2"]]}
    for conditions in ({}, {"include_seen": True}):
        by_index = recommender.recommend_many(users, K, **asked, **conditions).to_table()
        by_card = recommender.recommend_many(users, K, device="cuda", **asked, **conditions)
        got = by_card.to_table()
        assert got.drop_columns("score").equals(by_index.drop_columns("score"))
        np.testing.assert_allclose(got["score"], by_index["score"], rtol=1e-5, atol=1e-6)
    assert searched == [N_USERS + 1] * 2  # nobody has the popular list


def test_what_a_card_does_not_list_is_listed_by_the_index(
    recommender: Recommender, searched: list[int]
) -> None:
    users = ["u1", "u2"]
    for conditions in ({"exclude": ["i3"]}, {"candidates": ["i3", "i4"]}, {"diversity": 0.5}):
        by_index = recommender.recommend_many(users, K, **conditions).to_table()
        got = recommender.recommend_many(users, K, device="cuda", **conditions)
        assert got.to_table().equals(by_index)
    with on_device("auto"):  # too little to pay
        recommender.recommend_many(users, K)
    assert searched == []


def test_files_of_lists_are_made_on_a_card_where_that_pays(
    recommender: Recommender, searched: list[int], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: object())
    write_batch(recommender, tmp_path / "cpu", K, device="auto")
    assert searched == []
    monkeypatch.setattr(lists, "_WORTH", 1.0)
    write_batch(recommender, tmp_path / "card", K, device="auto")
    assert searched == [N_USERS]
    of_cpu, of_card = (
        pq.read_table(tmp_path / one / "part-000000.parquet") for one in ("cpu", "card")
    )
    assert of_card["item_id"].equals(of_cpu["item_id"])


def test_an_evaluation_of_lists_is_that_of_the_cpu(searched: list[int]) -> None:
    rng = np.random.default_rng(1)
    embeddings = Embeddings(*(rng.standard_normal((n, 16), dtype=np.float32) for n in WORLD.shape))
    is_test = rng.random(WORLD.nnz) < 0.4
    train, test = (with_pairs(WORLD, one) for one in (~is_test, is_test))
    ks = (3, 10)
    by_cpu = evaluate(embeddings, train, test, ks, auc=False)
    by_card = evaluate(embeddings, train, test, ks, auc=False, device="cuda")
    assert searched == [by_cpu.n_users]
    assert by_card.metrics == by_cpu.metrics
    assert all(np.array_equal(by_card.per_user[name], one) for name, one in by_cpu.per_user.items())
    assert np.array_equal(by_card.items.n_found, by_cpu.items.n_found)
    whole = evaluate(embeddings, train, test, ks, device="cuda")
    assert whole.metrics == {**by_cpu.metrics, "auc": whole.metrics["auc"]}
    assert len(searched) == 1


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is here")
def test_without_cupy_there_is_one_clear_error_and_no_folder(
    recommender: Recommender, store: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigError, match='device: expected CuPy for "cuda", got none; pip install'
    ):
        write_batch(recommender, tmp_path / "lists", K, device="cuda")
    assert not (tmp_path / "lists").exists()
    assert "recsys.cuda.card" not in sys.modules
    found = run("batch", tmp_path / "lists", "--store", store, "--device", "cuda")
    assert found.returncode == 2
    assert "CuPy" in found.stderr
    config = tmp_path / "recsys.toml"
    config.write_text('[compute]\ndevice = "cuda"\n')
    found = run("batch", tmp_path / "lists", "--store", store, "--config", config)
    assert "CuPy" in found.stderr
    found = run("batch", tmp_path / "lists", "--store", store, "--device", "gpu")
    assert found.returncode == 2
    assert "expected 'auto', 'cpu' or 'cuda', got 'gpu'" in found.stderr
