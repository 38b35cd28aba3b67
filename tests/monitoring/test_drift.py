"""What two versions differ by, where the answer is known."""

import json
from dataclasses import replace
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

from recsys.monitoring import DEFAULT_LIMITS, drift
from recsys.store import Release
from recsys.vectors import Embeddings
from recsys.vectors.ids import Ids
from tests.monitoring.nights import a_log, published, release_of, rotated


def test_the_same_twice_is_no_drift(tmp_path: Path) -> None:
    release = release_of(a_log())
    report = drift(published(tmp_path, release), published(tmp_path, release))
    assert {check.name for check in report.checks} == set(DEFAULT_LIMITS)
    measured = {check.name: check.value for check in report.checks if check.value is not None}
    assert set(measured) >= set(DEFAULT_LIMITS) - {"event_types", "new_days"}
    assert set(measured.values()) == {0.0}
    assert report.is_quiet
    assert report.moved == ()
    assert report.users == {"shared": 200, "appeared": 0, "vanished": 0}


def test_permuted_items_are_seen_by_vectors_lists_and_popularity(tmp_path: Path) -> None:
    release = release_of(a_log())
    order = np.random.default_rng(1).permutation(len(release.items))
    bad = replace(release, items=release.items.take(order))
    report = drift(published(tmp_path, release), published(tmp_path, bad))
    alarms = {check.name for check in report.alarms}
    assert alarms >= {"item_movement", "item_popularity", "list_churn", "neighbour_churn"}
    assert report["list_churn"].value > 0.7  # three of four items are of another taste now
    assert report["volume"].value == report["items_vanished"].value == 0


def test_a_category_that_is_gone_is_reported_with_its_share(tmp_path: Path) -> None:
    log = a_log()
    rest = log.select(log.item_idx % 4 != 0).compact()
    report = drift(published(tmp_path, release_of(log)), published(tmp_path, release_of(rest)))
    share = float((log.item_idx % 4 == 0).mean())
    assert report["items_vanished"].value == pytest.approx(share)
    assert report["item_popularity"].value == pytest.approx(share)
    assert report["volume"].value == pytest.approx(-np.log(1 - share))
    assert report.items["vanished"] == len(log.items) - len(rest.items)
    assert not report["items_vanished"].passed
    assert "are gone" in report["items_vanished"].sentence


def test_a_rotation_moves_no_list_and_another_space_is_not_compared(tmp_path: Path) -> None:
    release = release_of(a_log())
    turned = replace(release, embeddings=rotated(release.embeddings), space_id="another")
    report = drift(published(tmp_path, release), published(tmp_path, turned))
    movement = ("item_movement", "item_movement_p95", "item_movement_popular", "centroid_shift")
    for name in movement:
        assert report[name].value is None
        assert report[name].passed
        assert "the spaces differ, one and another" in report[name].sentence
    assert report.movement == {}
    for name in ("item_norms", "user_norms", "top_scores"):
        assert report[name].value == pytest.approx(0, abs=1e-5)
    assert report["list_churn"].value < 0.01  # round-off may swap items with nearly equal scores
    assert report["neighbour_churn"].value < 0.02


def test_the_same_rotation_unnamed_is_movement(tmp_path: Path) -> None:
    release = release_of(a_log())
    turned = replace(release, embeddings=rotated(release.embeddings))
    report = drift(published(tmp_path, release), published(tmp_path, turned))
    assert report["item_movement"].value > 0.5
    assert report.movement["p50"] <= report.movement["p95"]
    moves = [one.movement * one.popularity for one in report.moved]
    assert moves == sorted(moves, reverse=True)


def test_a_thousand_new_items_are_no_drift_of_those_with_events(tmp_path: Path) -> None:
    """Their vectors are what attributes say, here short ones, and twice as long the next night."""
    release = release_of(a_log())
    embeddings, n_new = release.embeddings, 1000
    short = np.tile(embeddings.items[:8].mean(axis=0) / 4, (n_new, 1))

    def with_new(times: float) -> Release:
        items = np.concatenate([embeddings.items, (times * short).astype(np.float32)])
        seen = release.seen.copy()
        seen.resize((len(release.users), len(items)))
        return replace(
            release,
            embeddings=Embeddings(embeddings.users, items),
            items=Ids([*release.items, *(f"new{n}" for n in range(n_new))]),
            seen=seen,
            popularity=np.concatenate([release.popularity, np.zeros(n_new, np.int64)]),
        )

    contents = [published(tmp_path, one) for one in (release, with_new(1), with_new(2))]
    for before, now in pairwise(contents):
        report = drift(before, now)
        for name in ("centroid_shift", "item_norms"):
            assert report[name].value == pytest.approx(0, abs=1e-6), name
    scaled = replace(release, embeddings=Embeddings(embeddings.users, 1.2 * embeddings.items))
    report = drift(contents[1], published(tmp_path, scaled))
    assert report["item_norms"].value == pytest.approx(0.2, rel=1e-5)


def test_one_item_that_turns_round_moved_most(tmp_path: Path) -> None:
    release = release_of(a_log())
    items = release.embeddings.items.copy()
    items[17] *= -1
    turned = replace(release, embeddings=Embeddings(release.embeddings.users, items))
    report = drift(published(tmp_path, release), published(tmp_path, turned))
    (one,) = report.moved
    assert (one.item_id, one.popularity) == ("i17", release.popularity[17])
    assert one.movement == pytest.approx(2)
    assert report["item_movement"].value == pytest.approx(2 / 120)


def test_scaled_vectors_show_in_lengths_and_scores_alone(tmp_path: Path) -> None:
    release = release_of(a_log())
    embeddings = release.embeddings
    scaled = replace(release, embeddings=Embeddings(3 * embeddings.users, 2 * embeddings.items))
    report = drift(published(tmp_path, release), published(tmp_path, scaled))
    assert report["item_norms"].value == pytest.approx(1, rel=1e-5)
    assert report["user_norms"].value == pytest.approx(2, rel=1e-5)
    assert report["top_scores"].value == pytest.approx(5, rel=1e-5)
    assert report["item_movement"].value == 0
    assert report["list_churn"].value == 0


def test_lists_of_few_users_are_not_measured(tmp_path: Path) -> None:
    log = a_log()
    few = release_of(log.select(log.user_idx < 20).compact())
    report = drift(published(tmp_path, few), published(tmp_path, few))
    assert report["list_churn"].value is None
    assert "20 shared users tell little" in report["list_churn"].sentence


def test_versions_of_before_logs_were_described(tmp_path: Path) -> None:
    release = release_of(a_log(), data={})
    report = drift(published(tmp_path, release), published(tmp_path, release))
    assert report["volume"].value is None
    assert report.is_quiet


def test_a_report_is_plain_json(tmp_path: Path) -> None:
    release = release_of(a_log())
    report = drift(published(tmp_path, release), published(tmp_path, release), {"list_churn": 0.5})
    content = json.loads(json.dumps(report.to_dict()))
    by_name = {check["name"]: check for check in content["checks"]}
    assert by_name["list_churn"]["threshold"] == 0.5
    assert by_name["volume"]["threshold"] is None
    assert content["is_quiet"] is True
