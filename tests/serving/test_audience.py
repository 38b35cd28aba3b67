"""Who should hear of an item, against a twin that scores every user and goes through all pairs."""

import json
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError, UnknownItemError
from recsys.serving import open as open_store
from recsys.serving import write_audiences
from recsys.settings import IndexSettings
from recsys.store import publish
from recsys.vectors import Embeddings
from tests.command_line import run
from tests.store.releases import small_release

N_USERS, N_ITEMS, DAY = 60, 12, 20_000
COUNTRIES = ["DE", "FR", None, "IT"]


class World:
    """A published version of many users, and their standing with each item."""

    def __init__(self, folder: Path, storage: str = "float32") -> None:
        rng = np.random.default_rng(0)
        self.items = rng.standard_normal((N_ITEMS, 3)).astype(np.float32)
        self.users = (rng.standard_normal((N_USERS, 3)) * rng.lognormal(0, 1, (N_USERS, 1))).astype(
            np.float32
        )
        self.users[[3, 50]] = 0
        seen = sp.csr_array(rng.random((N_USERS, N_ITEMS)) < 0.2)
        self.had = seen.toarray()
        self.last = DAY + rng.integers(0, 9, seen.nnz)
        release = small_release(
            N_USERS,
            N_ITEMS,
            embeddings=Embeddings(self.users, self.items),
            seen=seen.astype(np.float32),
            popularity=self.had.sum(axis=0),
            seen_day=self.last.astype(np.uint16),
            user_attributes=pa.table(
                {
                    "user_id": [f"u{row}" for row in range(N_USERS)],
                    "Country": [COUNTRIES[row % 4] for row in range(N_USERS)],
                    "n_items": [row % 5 for row in range(N_USERS)],  # another number than ours
                    "likes": [["tea", "cats"][: row % 3] for row in range(N_USERS)],
                }
            ),
        )
        publish(folder, release, IndexSettings(kind="exact", storage=storage))
        self.recommender = open_store(folder)
        norms = np.maximum(np.linalg.norm(np.float64(self.users), axis=1)[:, None], 1e-12)
        standing = np.float64(self.users) @ np.float64(self.items).T / np.sqrt(norms)
        self.standing = np.where(self.had | ~self.users.any(axis=1)[:, None], -np.inf, standing)

    def best(self, item: int, k: int, may: np.ndarray) -> list[str]:
        """The twin of one audience."""
        standing = np.where(may, self.standing[:, item], -np.inf)
        order = [row for row in np.argsort(-standing, kind="stable") if np.isfinite(standing[row])]
        return [f"u{row}" for row in order[:k]]

    def greedy(self, items: list[int], k: int, per_user: int, may: np.ndarray) -> list[list[str]]:
        """The twin of many: all pairs in one order, each taken if neither side is full."""
        pairs = [
            (-self.standing[user, item], place, user)
            for place, item in enumerate(items)
            for user in np.flatnonzero(may & np.isfinite(self.standing[:, item])).tolist()
        ]
        found: list[list[str]] = [[] for _ in items]
        often = np.zeros(N_USERS, int)
        for _, place, user in sorted(pairs):
            if len(found[place]) < k and often[user] < per_user:
                found[place].append(f"u{user}")
                often[user] += 1
        return found


@pytest.fixture(scope="module")
def world(tmp_path_factory: pytest.TempPathFactory) -> World:
    return World(tmp_path_factory.mktemp("audience"))


def last_days(world: World) -> np.ndarray:
    ends = np.cumsum(world.had.sum(axis=1))
    starts = ends - world.had.sum(axis=1)
    return np.array([max(world.last[a:b], default=0) for a, b in zip(starts, ends, strict=True)])


CONDITIONS = {
    "n_items >= 3": lambda world: world.had.sum(axis=1) >= 3,
    "last_day >= '2024-10-09' or n_items < 2": lambda world: (
        (last_days(world) >= DAY + 5) | (world.had.sum(axis=1) < 2)
    ),
    "n_items > 99": lambda world: np.zeros(N_USERS, bool),
    "country in ('DE', 'IT') and n_items >= 2": lambda world: (
        np.isin(np.arange(N_USERS) % 4, [0, 3]) & (world.had.sum(axis=1) >= 2)
    ),
    "'cats' in likes or user_n_items = 4 or country is null": lambda world: (
        (np.arange(N_USERS) % 3 == 2)
        | (np.arange(N_USERS) % 5 == 4)
        | (np.arange(N_USERS) % 4 == 2)
    ),
}


@settings(max_examples=60, deadline=None)
@given(
    items=st.lists(st.integers(0, N_ITEMS - 1), min_size=1, max_size=N_ITEMS, unique=True),
    k=st.integers(1, 70),
    per_user=st.sampled_from([None, 1, 2, 5]),
    where=st.sampled_from([None, *CONDITIONS]),
    exclude=st.sets(st.integers(0, N_USERS + 3), max_size=20),
)
def test_audiences_are_those_of_the_twin(world: World, items, k, per_user, where, exclude) -> None:
    may = np.ones(N_USERS, bool) if where is None else CONDITIONS[where](world).copy()
    may[[row for row in exclude if row < N_USERS]] = False
    left_out = [f"u{row}" for row in exclude]
    ids = [f"i{item}" for item in items]
    found = world.recommender.audiences(ids, k, per_user=per_user, where=where, exclude=left_out)
    if per_user is None:
        expected = [world.best(item, k, may) for item in items]
        alone = world.recommender.audience(ids[0], k, where=where, exclude=left_out)
        assert [one.item_id for one in alone] == expected[0]
    else:
        expected = world.greedy(items, k, per_user, may)
    assert [[one.item_id for one in users] for users in found] == expected
    for item, users in zip(items, found, strict=True):
        assert (users.kind, users.source) == ("user", "audience")
        rows = [int(str(one.item_id)[1:]) for one in users]
        scores = [one.score for one in users]
        np.testing.assert_allclose(scores, world.standing[rows, item], rtol=1e-3, atol=1e-4)
    table = found.to_arrow().to_pydict()
    assert table["user_id"] == [user for users in expected for user in users]
    assert table["item_id"] == [
        id_ for id_, users in zip(ids, expected, strict=True) for _ in users
    ]
    assert table["rank"] == [rank for users in expected for rank in range(1, len(users) + 1)]


def test_blocks_of_users_and_items_give_what_all_at_once_give(
    world: World, monkeypatch: pytest.MonkeyPatch
) -> None:
    every = [f"i{item}" for item in range(N_ITEMS)]
    whole = world.recommender.audiences(every, 7, per_user=2).to_arrow()
    monkeypatch.setattr("recsys.serving.audience._SCORES_AT_ONCE", 33)
    monkeypatch.setattr("recsys.serving.audience._ITEMS_AT_ONCE", 5)
    parts = world.recommender.audiences(every, 7, per_user=2).to_arrow()
    assert parts.drop("score").equals(whole.drop("score"))


def test_int8_embeddings_have_audiences_too(tmp_path: Path, world: World) -> None:
    found = World(tmp_path, "int8").recommender.audience("i1", 5)
    assert {one.item_id for one in found} <= set(world.best(1, 10, np.ones(N_USERS, bool)))


@pytest.mark.parametrize(
    ("asked", "error", "said"),
    [
        ({"item_ids": ["nothing"]}, UnknownItemError, "item 'nothing'"),
        ({"item_ids": ["i1", "i1"]}, DataError, "each item once"),
        ({"item_ids": ["i1"], "k": 0}, DataError, "k: expected at least 1"),
        ({"item_ids": ["i1"], "per_user": 0}, ConfigError, "per_user: expected"),
        ({"item_ids": ["i1"], "where": 3}, DataError, "where: expected a condition as text"),
        (
            {"item_ids": ["i1"], "where": "price < 3"},
            DataError,
            "users, got the column 'price': there are n_items, last_day, Country, user_n_items,",
        ),
        (
            {"item_ids": ["i1"], "where": "contry = 'DE'"},
            DataError,
            "got the column 'contry'; did you mean 'Country'",
        ),
        ({"item_ids": ["i1"], "where": "country < 3"}, DataError, "country holds large_string"),
    ],
)
def test_what_cannot_be_asked_is_named(world: World, asked, error, said: str) -> None:
    with pytest.raises(error, match=said):
        world.recommender.audiences(**asked)


@pytest.mark.parametrize("per_user", [None, 2])
def test_files_go_on_where_they_were_interrupted(
    world: World, tmp_path: Path, per_user: int | None, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        "recsys.serving.audience_files._BYTES_PER_ENTRY", 1 << 16
    )  # a part of 4, or 1
    asked = {"k": 4, "per_user": per_user, "where": "n_items >= 1"}
    every = world.recommender.item_vectors.ids.tolist()
    expected = world.recommender.audiences(every, **asked).to_arrow()
    folder = write_audiences(world.recommender, tmp_path / "out", memory_bytes=1 << 20, **asked)
    parts = sorted(folder.glob("*.parquet"))
    assert [path.name for path in parts] == [f"part-{n:06}.parquet" for n in range(len(parts))]
    assert len(parts) == (3 if per_user is None else 12)
    whole = pq.read_table(parts)
    assert whole.drop("score").equals(expected.drop("score"))
    assert np.allclose(whole["score"], expected["score"], atol=1e-5)
    before = [path.read_bytes() for path in parts]
    parts[1].unlink()
    write_audiences(world.recommender, folder, memory_bytes=1 << 20, **asked)
    assert [path.read_bytes() for path in parts] == before
    with pytest.raises(DataError, match="a folder for lists with k 5"):
        write_audiences(world.recommender, folder, memory_bytes=1 << 20, **asked | {"k": 5})
    some = write_audiences(world.recommender, tmp_path / "some", ["i3", "i1"], **asked)
    found = pq.read_table(sorted(some.glob("part-*")))["item_id"].unique().to_pylist()
    assert found == ["i3", "i1"]
    with pytest.raises(DataError, match="where: expected a condition on what is known of users"):
        write_audiences(world.recommender, tmp_path / "none", where="price < 3")
    assert not (tmp_path / "none").exists()


def test_a_command_lists_them_and_writes_them(world: World, tmp_path: Path) -> None:
    store = str(world.recommender._folder.parents[1])
    words = ["audience", "i1", "i2", "-k", "3", "--per-user", "1", "--store", store]
    expected = world.recommender.audiences(["i1", "i2"], 3, per_user=1).to_arrow().to_pylist()
    shown = run(*words, "--json", "--out", str(tmp_path / "them.csv"))
    assert json.loads(shown.stdout)["audiences"] == expected
    assert len((tmp_path / "them.csv").read_text().splitlines()) == 7
    first, as_table = expected[0], run(*words).stdout
    assert f"i1       1     {first['user_id']}" in as_table
    assert f"{first['score']:.4g}\n" in as_table
    run("audience", "--folder", str(tmp_path / "all"), "-k", "2", "--store", store)
    assert len(pq.read_table([*(tmp_path / "all").glob("part-*")])) == 2 * N_ITEMS
    (tmp_path / "sold_out.txt").write_text("i1\ni5\n")
    (tmp_path / "rules.toml").write_text('[rules]\nsold_out = "sold_out.txt"\n')
    some, config = tmp_path / "some", ("--config", str(tmp_path / "rules.toml"))
    run("audience", "--folder", str(some), "-k", "2", "--store", store, *config)
    listed = pq.read_table([*some.glob("part-*")])["item_id"].to_pylist()
    assert {f"i{n}" for n in range(N_ITEMS)} - set(listed) == {"i1", "i5"}
    (tmp_path / "sold_out.txt").write_text("i1\n")
    changed = run("audience", "--folder", str(some), "-k", "2", "--store", store, *config)
    assert "of these items (all that are not sold out, where none are named)" in changed.stderr
    assert "choose another folder, or remove this one" in changed.stderr
    named = run("audience", "i1", "-k", "3", "--json", "--store", store, *config)
    assert len(json.loads(named.stdout)["audiences"]) == 3
    refused = run("audience", "--store", store)
    assert refused.returncode == 2
    assert "no item: name one or more" in refused.stderr
