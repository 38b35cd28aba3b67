"""The offline flow, from the bundled log to a version that answers."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest

import recsys
from recsys.config import Settings, settings_from
from recsys.errors import ConfigError, DataError, GateFailedError
from recsys.logs import Interactions, attributes_of
from recsys.logs.log_summary import fingerprint_of
from recsys.serving import Recommendations
from recsys.store import ModelSpec, Version, versions
from tests.worlds import as_interactions, checkerboard, tastes

SMALL = {"model": {"factors": 4, "regularization": 0.1}, "index": {"kind": "exact"}}


def small(**tables: dict[str, object]) -> Settings:
    return settings_from({**SMALL, **tables})


def test_a_log_becomes_a_version_that_answers(tmp_path: Path) -> None:
    log = tastes()
    items = pa.table({"item_id": log.items.values, "title": [f"t{i}" for i in range(40)]})
    version = recsys.train(log, tmp_path / "store", settings=small(), items=items)
    recommender = recsys.open(tmp_path / "store")
    assert recommender.version == version.name
    found = recommender.recommend("u5", k=4)
    # u5's taste is the items whose number is 1 modulo 4
    assert [int(str(item_id)[1:]) % 4 for item_id, _ in found] == [1, 1, 1, 1]
    assert found.source == "personal"
    assert recommender.describe(found[0].item_id)["title"] == f"t{str(found[0].item_id)[1:]}"


def test_the_manifest_says_what_was_trained_and_measured(tmp_path: Path) -> None:
    log = tastes()
    manifest = recsys.train(log, tmp_path, settings=small()).manifest
    assert manifest.model == ModelSpec(
        "als",
        {
            "factors": 4,
            "regularization": 0.1,
            "regularization_exponent": 0.5,
            "unobserved_regularization": 0.0,
            "unobserved_weight": 0.1,
            "weight_exponent": 1.0,
            "recency": 0.0,
            "feature_share": 0.1,
            "feature_ridge": "auto",
            "user_exponent": 0.0,
            "item_exponent": 0.0,
            "unobserved_exponent": 0.0,
            "iterations": 15,
            "seed": 0,
        },
    )
    assert list(manifest.metrics) == ["als", "popularity"]
    assert manifest.data["events"] == len(log)
    assert log.timestamp is not None
    assert manifest.data["window"] == [log.timestamp.min(), log.timestamp.max()]
    assert manifest.data["fingerprint"] == fingerprint_of(log)
    assert manifest.config["model"]["factors"] == 4
    assert [manifest.config[name]["seed"] for name in ("model", "evaluation", "index")] == [0, 0, 0]
    assert manifest.environment["cores"] >= 1


def test_the_whole_log_is_published_not_the_train_part(tmp_path: Path) -> None:
    log = tastes()
    recsys.train(log, tmp_path, settings=small())
    recommender = recsys.open(tmp_path)
    seen = {log.items[i] for i in log.item_idx[log.user_idx == 7]}
    listed = {item_id for item_id, _ in recommender.recommend("u7", k=40)}
    assert listed == set(log.items.tolist()) - seen


@pytest.mark.parametrize("name", ["als", "svd", "popularity"])
def test_every_model_can_be_published_and_folds_in(tmp_path: Path, name: str) -> None:
    settings = settings_from({"model": {"name": name}, "index": {"kind": "exact"}})
    log = tastes()
    recsys.train(log, tmp_path, settings=settings)
    recommender = recsys.open(tmp_path)
    history = [log.items[i] for i in log.item_idx[log.user_idx == 3]]
    stored, folded = recommender.recommend("u3"), recommender.recommend_for_history(history)
    assert [item_id for item_id, _ in stored] == [item_id for item_id, _ in folded]
    assert folded.source == "fold_in"


MODELS: dict[str, dict[str, object]] = {
    "als": {"factors": 8},
    "svd": {"factors": 8},
    "centered": {"name": "svd", "factors": 8, "centered": True},
    "item2vec": {"factors": 4},
    "softmax": {"factors": 4},
    "distilled": {"factors": 4, "iterations": 10, "teacher": {"name": "svd", "factors": 8}},
    "blend": {"als": {"factors": 4}, "svd": {"factors": 4}},
    "popularity": {},
}


@pytest.mark.parametrize("name", MODELS)
def test_the_next_night_keeps_the_space_and_folds_in(tmp_path: Path, name: str) -> None:
    settings = settings_from(
        {
            "model": {"name": name} | MODELS[name],
            "evaluation": {"split": "none"},
            "index": {"kind": "exact"},
        }
    )
    log = tastes(n_users=80, per_user=8)
    yesterday, _ = recsys.split_by_time(log, test_fraction=0.03)
    first = recsys.train(yesterday, tmp_path, settings=settings)
    other_seed = replace(settings, model=settings.model.with_seed(1))
    second = recsys.train(log, tmp_path, settings=other_seed)
    assert second.manifest.alignment["space"] == "kept", second.manifest.alignment["reason"]
    assert second.manifest.space_id == first.manifest.space_id
    recommender = recsys.open(tmp_path)
    history = [log.items[i] for i in log.item_idx[log.user_idx == 3]]
    stored, folded = recommender.recommend("u3"), recommender.recommend_for_history(history)
    scores = [[item.score for item in found] for found in (stored, folded)]
    assert scores[0] == pytest.approx(scores[1], rel=1e-3, abs=1e-5)
    why = recommender.explain("u3", stored[0].item_id)
    if name != "popularity":
        assert sum(added for _, added in why.contributions) + why.rest == pytest.approx(why.score)
    users, items = recsys.read_vectors(users=first.folder, items=second.folder)
    mixed = {found.id for found in items.nearest(users["u3"], 10, by="dot")}
    assert len(mixed & {found.id for found in items.nearest(user_today(second), 10, by="dot")}) >= 5


def user_today(version: Version) -> recsys.Vector:
    return recsys.read_vectors(version.folder, version.folder)[0]["u3"]


def test_alignment_can_be_switched_off(tmp_path: Path) -> None:
    off = {"enabled": False}
    settings = small(evaluation={"split": "none"}, alignment=off, gates=off)
    first, second = (
        recsys.train(log, tmp_path, settings=settings)
        for log in (recsys.split_by_time(tastes(), test_fraction=0.1)[0], tastes())
    )
    assert second.manifest.alignment["reason"] == "alignment is switched off"
    assert second.manifest.config["alignment"] == {"enabled": False, "min_agreement": 0.5}
    with pytest.raises(DataError, match="two spaces share no coordinates"):
        recsys.read_vectors(users=first.folder, items=second.folder)


@pytest.mark.parametrize("split", ["time", "last", "random", "none"])
def test_every_split_can_be_chosen(tmp_path: Path, split: str) -> None:
    metrics = recsys.train(
        tastes(), tmp_path, settings=small(evaluation={"split": split})
    ).manifest.metrics
    assert bool(metrics) == (split != "none")


def test_a_given_test_part_is_what_is_tested_on(tmp_path: Path) -> None:
    train_log, test_log = recsys.split_last(tastes())
    settings = small(evaluation={"split": "given"})
    manifest = recsys.train(train_log, tmp_path, settings=settings, test=test_log).manifest
    assert manifest.metrics["als"].n_users == len(np.unique(test_log.user_idx))
    assert manifest.data["events"] == len(train_log)


@pytest.mark.parametrize(("split", "has_test"), [("given", False), ("time", True)])
def test_a_test_part_goes_with_the_given_split(tmp_path: Path, split: str, has_test: bool) -> None:
    with pytest.raises(ConfigError, match="goes with a test part"):
        recsys.train(
            tastes(),
            tmp_path,
            settings=small(evaluation={"split": split}),
            test=tastes() if has_test else None,
        )


def test_one_user_only(tmp_path: Path) -> None:
    log = as_interactions(checkerboard(6)[[0]])
    recsys.train(log, tmp_path, settings=small(evaluation={"split": "none"}))
    found = recsys.open(tmp_path).recommend("u0", k=100)
    assert {item_id for item_id, _ in found} == {"i0", "i1", "i3", "i5"}


def test_nothing_is_published_where_the_index_misses_its_target(tmp_path: Path) -> None:
    # A forest of one tree that may look at one node cannot find the best items of 3,000.
    rng = np.random.default_rng(0)
    n = 20_000
    log = Interactions(
        user_idx=rng.integers(0, 200, n).astype(np.int32),
        item_idx=rng.integers(0, 3000, n).astype(np.int32),
        weight=np.ones(n, dtype=np.float32),
        timestamp=None,
        users=recsys.Ids(range(200)),
        items=recsys.Ids(range(3000)),
    )
    settings = settings_from(
        {
            "model": {"factors": 32, "iterations": 2, "regularization": 0.1},
            "evaluation": {"split": "none"},
            "index": {"kind": "annoy", "trees": 1, "max_search_k": 1, "target_recall": 1.0},
        }
    )
    with pytest.raises(GateFailedError, match="recall@20"):
        recsys.train(log, tmp_path, settings=settings)
    assert versions(tmp_path) == []


def test_a_log_without_time_cannot_be_split_by_time(tmp_path: Path) -> None:
    log = as_interactions(checkerboard(6), timed=False)
    by_time = replace(small(), evaluation=replace(small().evaluation, split="time"))
    with pytest.raises(DataError, match="timestamp"):
        recsys.train(log, tmp_path, settings=by_time)
    assert versions(tmp_path) == []


def test_a_log_without_time_is_tested_at_random_and_the_manifest_says_so(tmp_path: Path) -> None:
    log = as_interactions(checkerboard(6), timed=False)
    with pytest.warns(RuntimeWarning, match="it has no timestamps.*--split random"):
        version = recsys.train(log, tmp_path, settings=small())
    assert version.manifest.config["evaluation"]["split"] == "random"


def test_attributes_of_an_unknown_item_are_null() -> None:
    log = tastes()
    table = pa.table({"item_id": ["i3"], "title": ["three"]})
    with pytest.warns(RuntimeWarning, match="of the 40 items of the log"):
        titles = attributes_of(table, log.items)["title"].to_pylist()
    assert [title for title in titles if title] == ["three"]
    assert len(titles) == 40


def ranked(listed: Recommendations) -> list[str | int]:
    """The items of a list in their order, but for those whose scores are zeros that are rounded."""
    assert len(listed) == 5
    return [id_ for id_, score in listed if score > 1e-6 * listed[0].score]


@pytest.mark.parametrize("model", ["als", "svd", "item2vec", "softmax", "blend"])
@pytest.mark.parametrize("unit", [0.001, 0.02, 300.0])
def test_the_unit_of_the_value_column_changes_nothing(
    tmp_path: Path, model: str, unit: float
) -> None:
    log = tastes(n_users=60, per_user=6)
    weight = 1 + np.arange(len(log), dtype=np.float32) % 3
    stores = {}
    for name, factor in (("one", 1.0), ("other", unit)):
        scaled = replace(log, weight=(weight * factor).astype(np.float32))
        stores[name] = tmp_path / name
        settings = settings_from({"model": {"name": model}, "evaluation": {"split": "none"}})
        version = recsys.train(scaled, stores[name], settings=settings)
        mean = version.manifest.model.mean_weight
        assert mean == pytest.approx(weight.mean() * factor, rel=1e-5)
    one, other = map(recsys.open, stores.values())
    for user in range(0, 60, 7):
        expected, found = (store.recommend(f"u{user}", 5) for store in (one, other))
        assert found.source == "personal"
        assert ranked(found) == ranked(expected)
        rows = np.flatnonzero(log.user_idx == user)
        history = [log.items[int(item)] for item in log.item_idx[rows]]
        values = (weight[rows] * unit).tolist()
        folded = other.recommend_for_history(history, 5, weights=values)
        assert folded.source == "fold_in"
        assert ranked(folded) == ranked(found)
        alike = [store.recommend_for_history(history, 5) for store in (one, other)]
        assert ranked(alike[0]) == ranked(alike[1])
        why = other.explain(f"u{user}", found[0].item_id)
        assert why.rest == pytest.approx(0, abs=1e-3 * abs(why.score) + 1e-6)


def test_weights_that_have_decayed_leave_every_user_a_taste(tmp_path: Path) -> None:
    log = tastes(n_users=60, per_user=6)  # one event an hour, 15 days
    decayed = replace(log, half_life_days=1.0)
    settings = settings_from({"evaluation": {"split": "none"}})
    version = recsys.train(decayed, tmp_path, settings=settings)
    assert 0 < version.manifest.model.mean_weight < 0.2
    recommender = recsys.open(tmp_path)
    for user in range(60):
        found = recommender.recommend(f"u{user}", 3)
        assert [int(str(item_id)[1:]) % 4 for item_id, _ in found] == [user % 4] * 3
