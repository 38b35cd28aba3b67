"""Attributes from the settings to a version: what is trained, kept, aligned, verified and read."""

import asyncio
import json
from pathlib import Path

import httpx
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.base.feature_settings import FeatureSettings
from recsys.config import Settings, changed_tables, settings_from, with_tables
from recsys.errors import ConfigError, CorruptVersionError
from recsys.features import Described, vectors_of_features
from recsys.nightly import run_night, run_refresh
from recsys.store import Content
from tests.command_line import run
from tests.service.asking import get, post

N_USERS, N_ITEMS, N_NEW = 60, 30, 4
KINDS = ["tea", "pots", "lamps"]


def _tables() -> tuple[pa.Table, pa.Table, pa.Table]:
    """Return events of users of one kind of items each, items, of which some are new, and users."""
    rng = np.random.default_rng(0)
    user, item = np.nonzero(
        rng.random((N_USERS, N_ITEMS))
        < np.where(np.arange(N_USERS)[:, None] % 3 == np.arange(N_ITEMS) % 3, 0.7, 0.05)
    )
    ids = np.arange(N_ITEMS + N_NEW)
    events = pa.table(
        {
            "user_id": [f"u{one}" for one in user],
            "item_id": [f"i{one}" for one in item],
            "timestamp": rng.integers(1_700_000_000, 1_710_000_000, len(user)),
        }
    )
    items = pa.table(
        {
            "item_id": [f"i{one}" for one in ids],
            "kind": [KINDS[one % 3] for one in ids],
            "price": 1.0 + ids % 7,
        }
    )
    users = pa.table(
        {
            "user_id": [*(f"u{one}" for one in range(N_USERS)), "quiet"],
            "likes": [*(KINDS[one % 3] for one in range(N_USERS)), "pots"],
        }
    )
    return events, items, users


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("features")
    events, items, users = _tables()
    for name, table in (("events", events), ("items", items), ("users", users)):
        pq.write_table(table, folder / f"{name}.parquet")
    (folder / "recsys.toml").write_text(
        """
        [data]
        log = ["events.parquet"]
        items = "items.parquet"
        users = "users.parquet"
        [model]
        name = "als"
        factors = 8
        item_features = { kind = "category", price = "number" }
        user_features = ["likes"]
        [evaluation]
        split = "random"
        k = 5
        [gates]
        enabled = false
        """
    )
    recsys.train(
        events, folder / "store", model=recsys.ALS(8), items=items, users=users,
        item_features={"kind": "category", "price": "number"}, user_features=["likes"],
        split="random", k=5, gates={"enabled": False},
    )  # fmt: skip
    return folder


def ridges_of(version: Content) -> dict[str, float]:
    """The ridges that a manifest keeps."""
    features = version.version.manifest.features
    return {side: facts["ridge"] for side, facts in features.items() if "ridge" in facts}


def ridges_of_log() -> dict[str, float]:
    """The same, of a fit by hand."""
    events, items, users = _tables()
    settings = FeatureSettings(
        items={"kind": "category", "price": "number"}, users={"likes": "auto"}
    )
    described = Described.of(settings, items, users)
    assert described is not None
    log = described.with_new_items(recsys.read_log(events))
    found = recsys.ALS(8).fit(log.user_items(), features=described.features(log))
    return {f"{side}s": one for side, one in found.ridges.items()}


def test_a_version_has_the_new_items_and_the_maps(store: Path) -> None:
    found = Content.of(recsys.versions(store / "store")[0])
    manifest, items = found.version.manifest, found.items
    assert manifest.features["items"]["columns"] == {"kind": "category", "price": "number"}
    assert manifest.model.parameters["feature_ridge"] == "auto"
    assert ridges_of(found) == ridges_of_log(), "what the fit has chosen"
    assert manifest.config["model"]["user_features"] == ["likes"]
    assert manifest.n_items == N_ITEMS + N_NEW
    assert (items.popularity == 0).sum() == N_NEW
    for side in ("item", "user"):
        table = pq.read_table(found.version.folder / f"{side}_features.parquet")
        assert table.schema.metadata[b"space_id"].decode() == manifest.space_id
        assert table["feature"][0].as_py() == "*"
    of_items = found.map_of_new_items
    assert of_items is not None
    new = _tables()[1].slice(N_ITEMS)
    rows = items.ids.rows(new["item_id"].to_pylist())
    np.testing.assert_allclose(of_items.vectors(new), items.embeddings[rows], atol=1e-6)
    recsys.verify(store / "store")
    recommender = recsys.open(store / "store")
    assert recommender.similar_items(f"i{N_ITEMS}", k=3).items  # of the kind that it is of
    listed = [int(one.item_id[1:]) % 3 for one in recommender.similar_items(f"i{N_ITEMS}", k=5)]
    assert listed.count(N_ITEMS % 3) >= 4


def test_a_night_keeps_the_space_and_turns_the_maps(store: Path) -> None:
    before = Content.of(recsys.versions(store / "store")[0])
    known = before.user_attributes
    assert known is not None
    assert known["user_id"].to_pylist() == before.users.ids.tolist()
    assert known.sort_by("user_id").equals(_tables()[2].slice(0, N_USERS).sort_by("user_id"))
    countries = pa.array([("DE", "FR", None)[one % 3] for one in range(N_USERS + 1)])
    more = _tables()[2].append_column("country", countries)  # another table: not idle
    pq.write_table(more.take(pa.array(range(N_USERS + 1)[::-1])), store / "users.parquet")
    report = run_night(settings_from_file(store), store / "store")
    after = Content.of(recsys.versions(store / "store")[0])
    assert report.version == after.version.name != before.version.name
    assert after.version.manifest.space_id == before.version.manifest.space_id
    assert ridges_of(after).keys() == ridges_of(before).keys() == {"items", "users"}
    old, new = before.feature_map("item"), after.feature_map("item")
    assert old is not None
    assert new is not None
    cosine = np.sum(old.map * new.map) / np.linalg.norm(old.map) / np.linalg.norm(new.map)
    assert cosine > 0.95
    features = after.feature_map("user")
    assert features is not None
    encoded = features.encoder.encode(_tables()[2])
    assert vectors_of_features(encoded, features.map).shape == (N_USERS + 1, 8)
    recsys.verify(store / "store")
    found = recsys.open(store / "store").audience("i0", 50, where="country = 'DE' and n_items > 0")
    assert 0 < len(found) <= N_USERS / 3
    assert {int(str(one.item_id)[1:]) % 3 for one in found} == {0}
    recommender = recsys.open(store / "store")  # by attributes alone, and beside a history
    known = recommender.recommend_for_history([], 9, user_attributes={"likes": "pots"})
    assert known.source == "attributes"
    user = features.vectors(pa.table({"likes": ["pots"]}))[0]
    scores = recommender.item_vectors.matrix @ user
    ids = recommender.item_vectors.ids.tolist()
    best = sorted(range(len(ids)), key=lambda row: (-scores[row], row))[:9]
    assert [one.item_id for one in known] == [ids[row] for row in best]
    np.testing.assert_allclose([one.score for one in known], scores[best], rtol=1e-3)
    alone = recommender.recommend_for_history(["i0"], 9)
    both = recommender.recommend_for_history(["i0"], 9, user_attributes={"likes": "pots"})
    assert (both.source, alone.source) == ("fold_in", "fold_in")
    assert both != alone
    why = recommender.explain_for_history(["i0"], "i3", user_attributes={"likes": "tea"})
    assert why.score == pytest.approx(sum(added for _, added in why.parts) + why.rest)
    with pytest.raises(recsys.DataError, match="user_attributes: .* knows, likes, got 'like'; did"):
        recommender.recommend_for_history([], user_attributes={"like": "tea"})
    for wrong in (10**30, [["tea"]], "\ud800"):  # as JSON may have it
        with pytest.raises(recsys.DataError, match="expected values as the table of users has"):
            recommender.recommend_for_history([], user_attributes={"likes": wrong})
    with pytest.raises(recsys.DataError, match="user_attributes: expected a mapping"):
        recommender.recommend_for_history([], user_attributes=["likes"])
    words = ("recommend", "--user-attribute", "likes=pots", "-k", "9", "--store", store / "store")
    told = json.loads(run(*words, "--json").stdout)
    assert [one["item_id"] for one in told["items"]] == [one.item_id for one in known]
    refused = run(*words, "--user-attribute", "likes")
    assert (refused.returncode, "such as country=DE, got 'likes'" in refused.stderr) == (2, True)
    app = recsys.service.Service(store / "store").open()
    told = post(app, "/v1/recommendations", {"user_attributes": {"likes": "pots"}, "k": 9}).json()
    assert ([one["item_id"] for one in told["items"]], told["source"]) == (
        [one.item_id for one in known],
        "attributes",
    )
    over_http = httpx.AsyncClient(transport=httpx.ASGITransport(app), base_url="http://127.0.0.1")
    client = recsys.AsyncClient(http=over_http)
    for history, source in ((["i0"], "fold_in"), ([], "attributes")):
        asked = {"user_attributes": {"likes": "tea"}}
        why = recommender.explain_for_history(history, "i3", **asked)
        assert (why.source, why.rest > 0.01 * why.score) == (source, True)
        told_why = asyncio.run(client.explain_for_history(history, "i3", **asked))
        assert (told_why.score, told_why.rest, told_why.source) == (why.score, why.rest, source)
    again = run_night(settings_from_file(store), store / "store")
    assert again.version == after.version.name  # nothing is new


def test_users_of_the_table_alone_have_lists_by_their_attributes(
    store: Path, tmp_path: Path
) -> None:
    recommender = recsys.open(store / "store")
    assert recommender.user_vectors.ids.find("quiet") is None
    expected = recommender.recommend_for_history([], 9, user_attributes={"likes": "pots"})
    found = recommender.recommend("quiet", 9, on_unknown="raise")
    assert (list(found), found.source) == (list(expected), "attributes")
    asked = [
        ("quiet", None, None),
        ("quiet", ["i0"], None),
        ("quiet", None, ["i1"]),
        ("x", None, None),
    ]
    users, histories, dislikes = (list(one) for one in zip(*asked, strict=True))
    many = recommender.recommend_many(users, 9, histories=histories, dislikes=dislikes)
    sources = ["attributes", "fold_in", "attributes", "popular"]
    for (user, history, disliked), one, source in zip(asked, many, sources, strict=True):
        alone = recommender.recommend(user, 9, history=history, dislikes=disliked or ())
        said = [(a.item_id, pytest.approx(a.score, rel=1e-4)) for a in alone]
        assert (one.source, alone.source, list(one)) == (source, source, said)
    why = recommender.explain("quiet", expected[0].item_id)
    assert (why.source, why.parts, why.score) == (
        "attributes",
        (),
        pytest.approx(expected[0].score),
    )
    heard = recommender.audience("i1", 99, where="likes = 'pots' and n_items = 0")
    assert [one.item_id for one in heard] == ["quiet"]
    standing = {one.item_id: one.score for one in recommender.audience("i1", 99)}
    assert standing["quiet"] == heard[0].score
    recsys.write_batch(recommender, tmp_path / "lists", 3)
    recsys.write_audiences(recommender, tmp_path / "heard", ["i1"], 99, per_user=1)
    for folder in ("lists", "heard"):
        assert (
            "quiet"
            in pq.read_table(tmp_path / folder / "part-000000.parquet")["user_id"].to_pylist()
        )
    app = recsys.service.Service(store / "store").open()
    told = get(app, "/v1/users/quiet/recommendations", k=9).json()
    assert ([one["item_id"] for one in told["items"]], told["source"]) == (
        [one.item_id for one in expected],
        "attributes",
    )


def test_a_refresh_folds_new_users_in_with_what_their_attributes_say(store: Path) -> None:
    events, _, users = _tables()
    new = {"user_id": ["new"] * 2, "item_id": ["i0", "i3"], "timestamp": [1_710_000_001] * 2}
    pq.write_table(pa.concat_tables([events, pa.table(new)]), store / "events.parquet")
    more = pa.table({"user_id": ["new", "later"], "likes": ["pots", "tea"]})
    pq.write_table(pa.concat_tables([users.slice(0, N_USERS), more]), store / "users.parquet")
    report = run_refresh(settings_from_file(store), store / "store")
    assert report.facts("fold_in")["described"] == 2  # one is there now, one no more
    recommender = recsys.open(store / "store", report.version)
    parent, refreshed = (Content.of(one) for one in recsys.versions(store / "store")[1::-1])
    assert ridges_of(refreshed) == ridges_of(parent) != {}
    for user, source in (("new", "personal"), ("later", "attributes"), ("quiet", "popular")):
        assert recommender.recommend(user).source == source
    assert run_refresh(settings_from_file(store), store / "store").version == report.version
    given = ["i0", "i3"], None, "all", ()
    for attributes, is_same in (({"likes": "pots"}, True), (None, False)):
        _, user = recommender.rows.histories.folded(*given, attributes)
        assert np.allclose(user, recommender.user_vectors["new"].values, atol=1e-5) == is_same
    assert [one.item_id for one in recommender.audience("i1", 99, where="likes = 'pots'")].count(
        "new"
    )


def settings_from_file(folder: Path) -> Settings:
    return recsys.config.read_config(folder / "recsys.toml")


def test_settings_say_it_in_the_table_of_the_model() -> None:
    settings = settings_from({"model": {"item_features": ["a", "b"], "name": "svd"}})
    assert settings.features.items == {"a": "auto", "b": "auto"}
    assert changed_tables(settings)["model"]["item_features"] == ["a", "b"]
    other = with_tables(settings, {"model": {"user_features": {"age": "number"}}})
    assert (other.features.items, other.model) == (settings.features.items, settings.model)
    assert settings_from(json.loads(json.dumps(changed_tables(other)))).features == other.features
    assert Settings(model={"item_features": "title"}).features.items == {"title": "auto"}
    with pytest.raises(ConfigError, match=r'model.item_features: .* \["category", "price"\]'):
        settings_from({"model": {"item_features": [3]}})


def test_what_is_missing_is_said(store: Path, tmp_path: Path) -> None:
    events, items, _ = _tables()
    given = {"model": recsys.ALS(4), "split": "none"}
    with pytest.raises(ConfigError, match=r"model.item_features: expected a table .*--items"):
        recsys.train(events, tmp_path, item_features=["kind"], **given)
    with pytest.raises(recsys.DataError, match="'kin'.* did you mean"):
        recsys.train(events, tmp_path, items=items, item_features=["kin"], **given)
    with pytest.raises(recsys.DataError, match="users: .*user_id"):
        recsys.train(events, tmp_path, users=items, user_features=["kind"], **given)
    found = Content.of(recsys.versions(store / "store")[-1])
    copied = tmp_path / "item_features.parquet"
    table = pq.read_table(found.version.folder / "item_features.parquet").slice(1)
    pq.write_table(table, copied)
    from recsys.store.feature_files import read_feature_map

    with pytest.raises(CorruptVersionError, match="expected the names of its encoder"):
        read_feature_map(tmp_path, "item", (len(table) + 1, 8), found.version.manifest.space_id)
