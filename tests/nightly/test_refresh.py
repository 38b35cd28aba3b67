"""A refresh: what is new is folded in, all else keeps its bits, and the gates are those of a night.

The world: tastes of 60 users and 40 items, where user and item of one taste have the same number
modulo 4. After the night u60 to u63 come, and item i40, which the newcomers and u0 pick.
"""

import shutil
from dataclasses import replace
from pathlib import Path
from threading import Event, Thread
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.base.locks import is_held, only_writer
from recsys.config import settings_from
from recsys.errors import ConfigError, GateFailedError, StoreError
from recsys.monitoring.drift import ancestors
from recsys.nightly import run_night, run_refresh
from recsys.nightly.extension import Extension
from recsys.nightly.night import REFRESH_LOCK, only_night
from recsys.nightly.run import REFRESHES
from recsys.store import current, find_version, open_version, prune, verify, versions
from recsys.store.item_times import read_item_times
from recsys.store.nights import NIGHT_LOCK, runs_in
from recsys.store.parquet_files import read_item_table, read_user_table
from tests.command_line import run
from tests.nightly.nights import stages_of, tables_of, write_days
from tests.worlds import START

LATER = START + 10**7
NEW = [(f"u{60 + taste}", f"i{taste + 4 * n}") for taste in range(4) for n in range(4)]
NEW += [("u60", "i40"), ("u0", "i40"), ("u4", "i40"), ("u8", "i40"), ("u1", "i1"), ("u1", "i5")]


def settings_in(place: Path, **tables: Any):
    given = tables_of(place)
    given["data"]["items"] = str(place / "items.parquet")
    return settings_from({**given, **tables})


def write_items(place: Path, n: int) -> None:
    ids = [f"i{row}" for row in range(n)]
    table = pa.table({"item_id": ids, "title": [f"title {id_}" for id_ in ids], "price": range(n)})
    pq.write_table(table, place / "items.parquet")


def write_new(place: Path, pairs: list[tuple[str, str]] = NEW, name: str = "new") -> None:
    users, items = zip(*pairs, strict=True)
    times = LATER + np.arange(len(pairs))
    pq.write_table(
        pa.table({"user_id": users, "item_id": items, "timestamp": times}),
        place / "log" / f"{name}.parquet",
    )


@pytest.fixture(scope="module")
def before(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A store after a night."""
    place = tmp_path_factory.mktemp("night")
    write_days(place / "log")
    write_items(place, 40)
    run_night(settings_in(place))
    return place


@pytest.fixture
def place(before: Path, tmp_path: Path) -> Path:
    """The same, where it may be changed."""
    return shutil.copytree(before, tmp_path / "place", symlinks=True)


@pytest.fixture(scope="module")
def refreshed(before: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The store of the night after a refresh with new users and an item."""
    place = shutil.copytree(before, tmp_path_factory.mktemp("refresh") / "place")
    write_new(place)
    write_items(place, 41)
    report = run_refresh(settings_in(place), place / "store")
    assert report.result == "done"
    names = ["lock", "ingest", "fold_in", "index", "gates", "publish", "prune", "report"]
    assert [stage.name for stage in report.stages] == names
    assert report.facts("fold_in") == {
        "users": 4,
        "items": 1,
        "pairs": 22,
        "users_left_out": 0,
        "described": 0,
    }
    return place


def test_what_the_version_knew_keeps_its_bits(before: Path, refreshed: Path) -> None:
    old, new = (find_version(place / "store") for place in (before, refreshed))
    users, items = read_user_table(old.folder), read_item_table(old.folder)
    now, now_items = read_user_table(new.folder), read_item_table(new.folder)
    assert now.ids.tolist() == [*users.ids.tolist(), "u60", "u61", "u62", "u63"]
    assert now_items.ids.tolist() == [*items.ids.tolist(), "i40"]
    assert now.embeddings[:60].tobytes() == users.embeddings.tobytes()
    assert now_items.embeddings[:40].tobytes() == items.embeddings.tobytes()
    assert now_items.popularity.tolist() == [*items.popularity.tolist(), 4]
    assert now_items.recent is not None
    assert items.recent is not None
    assert now_items.recent[:40].tobytes() == items.recent.tobytes()
    times, now_times = read_item_times(old.folder), read_item_times(new.folder)
    assert now_times.velocity[:40].tobytes() == times.velocity.tobytes()
    assert now_times.repeat_gap[:40].tobytes() == times.repeat_gap.tobytes()
    assert now_times.first_day[40] == LATER // 86_400
    a, b = old.manifest, new.manifest
    assert (b.space_id, b.model, b.metrics, b.config) == (a.space_id, a.model, a.metrics, a.config)
    assert (b.parent, b.refreshed_from, a.refreshed_from) == (a.version, a.version, None)
    assert (b.n_users, b.n_items) == (64, 41)
    assert verify(refreshed / "store").name == b.version


def test_new_users_get_lists_of_their_own(refreshed: Path) -> None:
    recommender = recsys.open(refreshed / "store")
    for taste in range(4):
        found = recommender.recommend(f"u{60 + taste}", k=4)
        assert found.source == "personal"
        assert [int(str(item_id)[1:]) % 4 for item_id, _ in found] == [taste] * 4
    # i40 is for those of the taste of its users.
    users, new = recommender.user_vectors, recommender.item_vectors.matrix[40]
    best = np.argsort(-(users.matrix @ new))[:10]
    assert {int(str(user_id)[1:]) % 4 for user_id in users.ids.tolist(best)} == {0}


def test_no_list_holds_what_was_seen_since(before: Path, refreshed: Path) -> None:
    was, now = recsys.open(before / "store"), recsys.open(refreshed / "store")
    assert {"i1", "i5"} & {item_id for item_id, _ in was.recommend("u1", k=30)}
    assert not {"i1", "i5"} & {item_id for item_id, _ in now.recommend("u1", k=30)}
    assert "i40" not in {item_id for item_id, _ in now.recommend("u0", k=40)}
    assert "i40" in {item_id for item_id, _ in now.recommend("u12", k=40)}


def test_the_row_of_a_new_user_is_a_fold_in_of_what_it_has_seen(refreshed: Path) -> None:
    recommender = recsys.open(refreshed / "store")
    seen = [item_id for user_id, item_id in NEW if user_id == "u60"]
    found = recommender.recommend_for_history(seen, k=5)
    own = recommender.recommend("u60", k=5)
    assert [one.item_id for one in found] == [one.item_id for one in own]
    np.testing.assert_allclose([s for _, s in found], [s for _, s in own], rtol=1e-5)


def test_attributes_come_with_new_items(before: Path, refreshed: Path) -> None:
    table = open_version(refreshed / "store").attributes
    assert table is not None
    assert table.slice(0, 40).equals(open_version(before / "store").attributes)
    assert table.slice(40).to_pylist() == [{"item_id": "i40", "title": "title i40", "price": 40}]


def test_a_refresh_of_the_same_is_the_same(refreshed: Path, tmp_path: Path) -> None:
    """Of the settings of the version, from another start: the files are those of before."""
    place = shutil.copytree(refreshed, tmp_path / "place")
    new, old = versions(place / "store")
    recsys.activate(place / "store", old.name)
    report = run_refresh(None, place / "store")  # the log is where the night read it
    assert stages_of(report)["publish"] == "left out"
    settings = settings_in(place)
    again = find_version(place / "store", run_refresh(settings, place / "store").version)
    files = {name: facts.sha256 for name, facts in again.manifest.files.items()}
    assert files == {name: facts.sha256 for name, facts in new.manifest.files.items()}


def test_nothing_new_publishes_nothing(refreshed: Path, tmp_path: Path) -> None:
    place = shutil.copytree(refreshed, tmp_path / "place")
    report = run_refresh(settings_in(place), place / "store")
    assert report.is_idle
    assert report.version == current(place / "store")
    assert len(versions(place / "store")) == 2


def test_the_next_night_trains_on_what_was_folded_in(refreshed: Path, tmp_path: Path) -> None:
    place = shutil.copytree(refreshed, tmp_path / "place")
    settings = settings_in(place)
    idle = replace(settings, nightly=replace(settings.nightly, reuse_unchanged=True))
    before = current(place / "store")
    report = run_night(idle, place / "store")  # the same events as the refresh had
    assert not report.is_idle
    manifest = find_version(place / "store").manifest
    assert (manifest.parent, manifest.refreshed_from, manifest.n_users) == (before, None, 64)
    assert report.facts("train")["start"] == "warm"
    assert report.facts("align")["space"] == "kept"
    # Limits are learned from nights alone.
    learned = ancestors(find_version(place / "store"), 9)
    assert [one.refreshed_from for one in learned] == [None, None]


def test_a_new_item_of_known_users_alone(place: Path) -> None:
    write_new(place, [("u0", "i40"), ("u4", "i40"), ("u8", "i40")])
    report = run_refresh(settings_in(place), place / "store")
    added = report.facts("fold_in")
    assert (added["users"], added["items"]) == (0, 1)
    version = find_version(place / "store", report.version)
    assert np.linalg.norm(read_item_table(version.folder).embeddings[-1]) > 0


def test_a_gate_refuses_a_refresh(place: Path) -> None:
    write_new(place)
    settings = settings_in(place, gates={"limits": {"users_appeared": 0.001}, "refuse_above": 1.5})
    before = current(place / "store")
    with pytest.raises(GateFailedError, match="users_appeared"):
        run_refresh(settings, place / "store")
    assert current(place / "store") == before
    assert find_version(place / "store", versions(place / "store")[0].name).manifest.status == (
        "refused"
    )


def test_two_versions_of_refreshes_are_kept_and_all_of_nights(place: Path) -> None:
    settings, store = settings_in(place), place / "store"
    night = current(store)
    for n in range(4):
        write_new(place, [(f"v{n}", "i1"), (f"v{n}", "i5")], name=f"new{n}")
        run_refresh(settings, store)
    newest, second, *others = versions(store)
    assert [one.name for one in others] == [night]
    assert newest.manifest.refreshed_from == second.manifest.refreshed_from == night
    assert len(runs_in(store, REFRESHES)) == 4
    assert len(runs_in(store)) == 1
    done = prune(store, 1, dry_run=True)  # counts nights: the one of the night is the newest 1
    assert done.deleted == ()
    assert done.kept[night] == "newest 1"


def test_a_refresh_and_a_night_do_not_meet(place: Path) -> None:
    settings, store = settings_in(place), place / "store"
    with (
        only_writer(store / NIGHT_LOCK),
        pytest.raises(StoreError, match="expected no other night, got one that runs"),
    ):
        run_refresh(settings, store)
    with (
        only_writer(store / REFRESH_LOCK),
        pytest.raises(StoreError, match="expected no other refresh, got one that runs"),
    ):
        run_refresh(settings, store)


def test_a_night_waits_for_a_refresh(tmp_path: Path) -> None:
    entered = Event()

    def night() -> None:
        with only_night(tmp_path):
            entered.set()

    thread = Thread(target=night)
    with only_writer(tmp_path / REFRESH_LOCK):
        thread.start()
        while not is_held(tmp_path / NIGHT_LOCK):
            pass
        assert not entered.is_set()
    thread.join()
    assert entered.is_set()


def test_a_store_without_a_version_is_no_store_to_refresh(place: Path, tmp_path: Path) -> None:
    with pytest.raises(StoreError, match="expected a version to refresh, got none"):
        run_refresh(settings_in(place), tmp_path / "empty")


def test_a_version_of_a_table_names_no_log_to_refresh_from(tmp_path: Path) -> None:
    pairs = [(f"u{user}", f"i{(user * step) % 9}") for user in range(12) for step in range(5)]
    users, items = zip(*dict.fromkeys(pairs), strict=True)
    table = pa.table({"user_id": users, "item_id": items})
    recsys.train(table, tmp_path, model=recsys.ALS(4), split="none", index={"kind": "exact"})
    before = current(tmp_path)
    with pytest.raises(ConfigError, match="^data.log: expected files .* trained on a table; name"):
        run_refresh(None, tmp_path)
    assert current(tmp_path) == before


def test_a_refresh_that_crashed_goes_on(place: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write_new(place)
    settings, store = settings_in(place), place / "store"
    with monkeypatch.context() as broken:
        broken.setattr("recsys.nightly.stages.build_indexes", _killed)
        with pytest.raises(KeyboardInterrupt):
            run_refresh(settings, store)
    done = stages_of(run_refresh(settings, store))
    assert (done["ingest"], done["fold_in"], done["publish"]) == ("reused", "reused", "done")


def _killed(*_: object) -> None:
    raise KeyboardInterrupt


@pytest.mark.parametrize(
    ("model", "index"),
    [
        ({"name": "distilled", "factors": 4, "iterations": 2}, {"kind": "exact"}),
        ({"name": "svd", "factors": 4, "recency": 0.3}, {"kind": "exact", "storage": "int8"}),
        ({"name": "blend"}, {"kind": "exact", "storage": "int8", "similar_users": True}),
    ],
    ids=["distilled", "svd int8", "blend"],
)
def test_versions_of_other_models_are_refreshed(
    tmp_path: Path, model: dict[str, Any], index: dict[str, Any]
) -> None:
    """Users whose ids are numbers, until one comes that is none."""
    place = tmp_path
    write_days(place / "log", 1)
    table = pq.read_table(place / "log" / "day0.parquet")
    numbers = pa.array([int(id_[1:]) for id_ in table["user_id"].to_pylist()])
    pq.write_table(table.set_column(0, "user_id", numbers), place / "log" / "day0.parquet")
    tables = tables_of(place)
    settings = settings_from({**tables, "model": model, "index": index})
    run_night(settings)
    old = find_version(place / "store")
    table = pa.table({"user_id": ["sixty"] * 3, "item_id": ["i0", "i4", "i40"]})
    table = table.append_column("timestamp", pa.array([LATER] * 3))
    pq.write_table(table, place / "log" / "new.parquet")
    report = run_refresh(settings)
    new = find_version(place / "store", report.version)
    users, now = read_user_table(old.folder), read_user_table(new.folder)
    assert now.ids.tolist() == [*map(str, users.ids.tolist()), "sixty"]
    assert now.embeddings[:60].tobytes() == users.embeddings.tobytes()
    items, now_items = read_item_table(old.folder), read_item_table(new.folder)
    assert now_items.embeddings[:40].tobytes() == items.embeddings.tobytes()
    if items.summands is not None and now_items.summands is not None:
        assert now_items.summands[:40].tobytes() == items.summands.tobytes()
    verify(place / "store")
    found = recsys.open(place / "store").recommend("sixty", k=4)
    assert found.source == "personal"
    assert {int(str(item_id)[1:]) % 4 for item_id, _ in found} == {0}


def test_the_command(refreshed: Path, tmp_path: Path) -> None:
    place = shutil.copytree(refreshed, tmp_path / "place")
    write_new(place, [("u99", "i1"), ("u99", "i5"), ("u99", "i9")], name="more")
    (place / "n.toml").write_text(
        '[data]\nlog = "log"\nitems = "items.parquet"\n[index]\nkind = "exact"\n'
    )
    done = run("refresh", "--config", place / "n.toml", "--store", place / "store")
    assert done.returncode == 0, done.stderr
    assert "users 1, items 0, pairs 3" in " ".join(done.stdout.split())
    assert "published" in done.stdout
    shown = run("recommend", "u99", "-k", "3", "--store", place / "store")
    assert shown.returncode == 0
    nothing = run("refresh", "--config", place / "n.toml", "--store", place / "store", "--json")
    assert '"nothing_new": true' in nothing.stdout
    assert run("refresh", "--store", tmp_path / "none").returncode == 1


def test_when_a_user_had_an_item_last_is_kept_and_learned(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)

    def events(n_users: int, n_items: int, days: range) -> pa.Table:
        n = 60
        day = rng.integers(days.start, days.stop, n)
        users, items = rng.integers(n_users, size=n), rng.integers(n_items, size=n)
        names = ([f"u{row}" for row in users], [f"i{row}" for row in items])
        return pa.table({"user_id": names[0], "item_id": names[1], "timestamp": day * 86_400})

    old, new = events(6, 5, range(20_000, 20_030)), events(8, 7, range(20_031, 20_040))
    options = {"split": "none", "gates": {"enabled": False}}
    ages = {"user_id": ["u0", "u3", "u5", "u2"], "age": [10, 13, 15, 12]}
    of_users = pa.table(ages)
    recsys.train(old, tmp_path, model=recsys.ALS(2, iterations=1), users=of_users, **options)
    both = pa.concat_tables([old.slice(30), new])  # the log no longer holds all of it
    now = pa.table({"user_id": ["u0", "u3", "u6", "u7"], "age": [99, 23, 16, 17]})
    of_now = {"left_out": ["u3"], "user_attributes": now}
    extension = Extension(open_version(tmp_path), recsys.read_log(both), **of_now)
    release = extension.release(extension.embeddings())
    assert release.user_attributes is not None  # of who was there as before, of who is new as now
    of_release = dict(zip(*release.user_attributes.to_pydict().values(), strict=True))
    expected = {"u0": 10, "u5": 15, "u2": 12, "u6": 16, "u7": 17, "u3": 23, "u1": None, "u4": None}
    assert of_release == {one: expected[one] for one in release.users.tolist()}
    last: dict[tuple[str, str], int] = {}
    for row in sorted(pa.concat_tables([old, new]).to_pylist(), key=lambda row: row["timestamp"]):
        last[row["user_id"], row["item_id"]] = row["timestamp"] // 86_400
    pairs = release.seen.tocoo()
    users, items = release.users.tolist(pairs.row), release.items.tolist(pairs.col)
    assert release.seen_day is not None
    for pair, day in zip(zip(users, items, strict=True), release.seen_day.tolist(), strict=True):
        if pair[0] != "u3":  # who is left out, and comes back as new
            assert day == last[pair], pair
    assert {pair for pair in last if pair[0] != "u3"} <= set(zip(users, items, strict=True))
