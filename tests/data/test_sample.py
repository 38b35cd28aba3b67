"""The bundled log is what its generator makes, and its world is the one its README describes."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import scipy.sparse as sp
from scipy.sparse.linalg import svds

DATA = Path(__file__).parents[2] / "data"
FILES = ("events", "items", "users_truth", "items_truth")
N_USERS, N_ITEMS, N_EVENTS = 1_000, 600, 30_084
DAY = 86_400
NEW_YEAR, NEXT_YEAR = 1_735_689_600, 1_767_225_600  # 2025 and 2026 begin


def generate(out: Path, seed: int) -> dict[str, pa.Table]:
    command = [sys.executable, DATA / "generate.py", "--out", out, "--seed", str(seed)]
    subprocess.run(command, check=True, capture_output=True)
    return {name: pq.read_table(out / f"{name}.parquet") for name in FILES}


@pytest.fixture(scope="module")
def sample() -> dict[str, pa.Table]:
    return {name: pq.read_table(DATA / "sample" / f"{name}.parquet") for name in FILES}


@pytest.fixture(scope="module")
def events(sample):
    return {name: sample["events"][name].to_numpy() for name in sample["events"].column_names}


@pytest.fixture(scope="module")
def tastes(sample) -> dict[str, np.ndarray]:
    """The true matrices, (n_users, n_tastes) and (n_items, n_tastes)."""
    return {
        side: np.stack([column.to_numpy() for column in sample[f"{side}_truth"].columns[1:]], 1)
        for side in ("users", "items")
    }


@pytest.fixture(scope="module")
def views(events) -> sp.csr_array:
    """Which user looked at which item, 0 or 1 (n_users, n_items)."""
    is_view = events["event"] == "view"
    matrix = sp.coo_array(
        (np.ones(is_view.sum()), (row_of(events["user_id"])[is_view], item_rows(events)[is_view])),
        shape=(N_USERS, N_ITEMS),
    ).tocsr()
    matrix.data[:] = 1
    return matrix


def row_of(ids) -> np.ndarray:
    return np.array([int(id_[1:]) - 1 for id_ in ids])


def item_rows(events) -> np.ndarray:
    return row_of(events["item_id"])


class TestGenerator:
    def test_makes_the_committed_files(self, sample, tmp_path):
        made = generate(tmp_path, seed=7)
        for name in ("events", "items"):
            assert made[name].equals(sample[name]), name
        for name in ("users_truth", "items_truth"):
            assert made[name].schema == sample[name].schema
            for column, expected in zip(made[name].columns, sample[name].columns, strict=True):
                if pa.types.is_floating(column.type):
                    np.testing.assert_allclose(column.to_numpy(), expected.to_numpy(), atol=1e-4)
                else:
                    assert column.equals(expected)

    def test_another_seed_makes_another_world(self, sample, tmp_path):
        other = generate(tmp_path, seed=8)
        assert other["events"].schema == sample["events"].schema
        assert not other["events"].equals(sample["events"])
        assert not other["items"]["title"].equals(sample["items"]["title"])
        assert len(set(other["items"]["title"].to_pylist())) == N_ITEMS

    def test_the_files_are_small(self):
        assert sum(path.stat().st_size for path in (DATA / "sample").iterdir()) < 1_000_000


class TestTables:
    def test_shapes(self, sample):
        assert sample["events"].num_rows == N_EVENTS
        assert sample["items"].num_rows == sample["items_truth"].num_rows == N_ITEMS
        assert sample["users_truth"].num_rows == N_USERS
        assert all(column.null_count == 0 for table in sample.values() for column in table.columns)

    def test_the_readme_states_the_number_of_events(self):
        assert f"{N_EVENTS:,}" in (DATA / "README.md").read_text("utf-8")

    def test_every_event_is_of_a_known_item_and_user(self, sample):
        items = set(sample["items"]["item_id"].to_pylist())
        users = set(sample["users_truth"]["user_id"].to_pylist())
        assert len(items) == N_ITEMS
        assert set(sample["events"]["item_id"].to_pylist()) <= items
        assert set(sample["events"]["user_id"].to_pylist()) == users
        assert sample["items"]["item_id"].equals(sample["items_truth"]["item_id"])

    def test_titles_are_distinct_and_shelves_full(self, sample):
        assert len(set(sample["items"]["title"].to_pylist())) == N_ITEMS
        per_category = sample["items"]["category"].combine_chunks().value_counts().to_pylist()
        assert [row["counts"] for row in per_category] == [50] * 12

    def test_tastes_are_mixtures(self, tastes):
        for matrix in tastes.values():
            assert matrix.min() >= 0
            np.testing.assert_allclose(matrix.sum(axis=1), 1, atol=1e-3)


class TestBehaviour:
    def test_a_few_items_have_most_of_the_looks(self, views):
        popularity = np.sort(views.sum(axis=0))[::-1]
        share_of_top_tenth = popularity[: N_ITEMS // 10].sum() / popularity.sum()
        assert 0.2 < share_of_top_tenth < 0.5  # a tenth if all were equal
        assert popularity[0] > 4 * np.median(popularity)

    def test_few_users_come_often(self, events):
        per_user = np.bincount(row_of(events["user_id"]), minlength=N_USERS)
        assert per_user.min() >= 2
        assert np.percentile(per_user, 95) > 3 * np.median(per_user)

    def test_every_step_of_the_funnel_is_rarer(self, events):
        count = {event: int((events["event"] == event).sum()) for event in set(events["event"])}
        assert set(count) == {"view", "like", "cart", "purchase"}
        assert count["view"] > 5 * count["like"]
        assert count["like"] > count["cart"] > count["purchase"] > 500

    def test_nothing_is_bought_unseen(self, events):
        keys = list(zip(events["session_id"], events["item_id"], strict=True))
        viewed = {key for key, event in zip(keys, events["event"], strict=True) if event == "view"}
        assert set(keys) == viewed

    def test_users_come_back_to_items(self, events, views):
        assert (events["event"] == "view").sum() > 1.05 * views.nnz

    def test_time_is_the_year_2025_in_order(self, events):
        timestamp = events["timestamp"]
        assert timestamp.min() >= NEW_YEAR
        assert timestamp.max() < NEXT_YEAR
        assert (np.diff(timestamp) >= 0).all()

    def test_sessions_are_short_and_of_one_user(self, events):
        sessions = {}
        for session, user, timestamp in zip(
            events["session_id"], events["user_id"], events["timestamp"], strict=True
        ):
            sessions.setdefault(session, []).append((user, timestamp))
        assert len(sessions) > 3 * N_USERS
        for rows in sessions.values():
            assert len({user for user, _ in rows}) == 1
            assert rows[-1][1] - rows[0][1] < 1800
        starts = sorted((rows[0][0], rows[0][1] // DAY) for rows in sessions.values())
        assert len(set(starts)) == len(starts)  # at most one a day

    def test_evenings_and_weekends_are_busy(self, events):
        hour = events["timestamp"] // 3600 % 24
        weekday = (events["timestamp"] // DAY + 3) % 7  # 1970 began on a Thursday
        assert ((hour >= 18) & (hour < 23)).mean() > 0.4  # 5 hours of 24 are 0.21
        assert (weekday >= 5).mean() > 0.33  # 2 days of 7 are 0.29

    def test_items_arrive_through_the_year(self, events):
        first = np.full(N_ITEMS, NEXT_YEAR)
        np.minimum.at(first, item_rows(events), events["timestamp"])
        arrived_by = [(first < NEW_YEAR + day * DAY).mean() for day in (60, 180, 365)]
        assert arrived_by[0] < 0.85
        assert arrived_by[0] < arrived_by[1] < arrived_by[2]


class TestTruth:
    def test_users_of_one_taste_share_items(self, views, tastes):
        shared = (views @ views.T).toarray()
        taste = tastes["users"].argmax(axis=1)
        clear = tastes["users"].max(axis=1) > 0.7
        same = (taste[:, None] == taste[None, :]) & clear[:, None] & clear[None, :]
        other = (taste[:, None] != taste[None, :]) & clear[:, None] & clear[None, :]
        np.fill_diagonal(same, False)
        assert clear.sum() > 200
        assert shared[same].mean() > 3 * shared[other].mean()

    def test_a_history_tells_the_taste(self, views, tastes):
        history = views @ tastes["items"]
        heavy = views.sum(axis=1) >= 20
        hits = history.argmax(axis=1) == tastes["users"].argmax(axis=1)
        assert hits[heavy].mean() > 0.7  # an eighth by chance

    def test_the_main_directions_of_the_log_are_the_tastes(self, views, tastes):
        """The items' truth lies mostly in the span of the log's first singular vectors."""
        degree = np.maximum(views.sum(axis=0), 1)
        normalized = views @ sp.diags_array(1 / np.sqrt(degree))
        _, _, right = svds(normalized, k=9, rng=np.random.default_rng(0))
        truth = tastes["items"] - tastes["items"].mean(axis=0)
        weighted = truth * np.sqrt(degree)[:, None]
        explained = np.sum((right @ weighted) ** 2) / np.sum(weighted**2)
        by_chance = 9 / N_ITEMS
        assert explained > 0.6 > 20 * by_chance


class TestUserOfTheReadme:
    def test_has_a_history_of_one_taste(self, sample, events):
        mine = events["user_id"] == "u42"
        category = np.array(sample["items"]["category"].to_pylist())[item_rows(events)[mine]]
        assert len(set(events["item_id"][mine])) >= 25
        assert np.isin(category, ["Space Tales", "Folk Tales"]).mean() > 0.5

    @pytest.mark.parametrize("item_id", ["i7", "i9", "i19"])
    def test_its_items_are_well_known(self, views, item_id):
        popularity = views.sum(axis=0)
        assert (popularity > popularity[int(item_id[1:]) - 1]).sum() < 60

    def test_one_of_them_is_left_to_recommend(self, events):
        assert "i9" not in set(events["item_id"][events["user_id"] == "u42"])
