"""A bad night is refused and kept, the version before stays, and the next good night passes."""

import json
import warnings
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import pytest

import recsys
from recsys.cli.ask import opened
from recsys.config import Settings, settings_from
from recsys.errors import ConfigError, GateFailedError
from recsys.logs import Interactions
from recsys.models import ALS, Popularity
from recsys.monitoring import Gates, GateSettings, ancestors, warn_of_another_log
from recsys.monitoring.gates import _without
from recsys.store import (
    EvaluationSummary,
    ModelSpec,
    Release,
    Version,
    activate,
    current,
    find_version,
    open_version,
    publish,
    versions,
)
from recsys.vectors import Embeddings, Ids
from tests.command_line import run
from tests.monitoring.nights import EXACT, a_log, release_of
from tests.worlds import tastes


def settings(**gates: object) -> Settings:
    return settings_from(
        {
            "model": {"factors": 8, "regularization": 0.1},
            "evaluation": {"split": "none"},
            "index": {"kind": "exact"},
            "gates": gates,
        }
    )


WEIGHTS = {"view": 1, "like": 3, "cart": 4, "purchase": 6}


@pytest.fixture(scope="module")
def night(sample: Path) -> Interactions:
    return recsys.read_log(sample, events=WEIGHTS)


def half_of(log: Interactions) -> Interactions:
    return log.select(slice(0, None, 2)).compact()  # type: ignore[arg-type]


def test_a_bad_log_is_refused_and_the_next_good_one_passes(
    night: Interactions, tmp_path: Path
) -> None:
    first = recsys.train(night, tmp_path, settings=settings())
    with pytest.raises(GateFailedError) as caught:
        recsys.train(half_of(night), tmp_path, settings=settings())
    assert current(tmp_path) == first.name
    assert caught.value.version is not None
    refused = find_version(tmp_path, caught.value.version)
    assert refused.manifest.status == "refused"
    assert refused.manifest.parent == first.name
    reasons = {check.name: check for check in refused.manifest.checks if check.refuses}
    assert set(reasons) >= {"volume", "past_days"}
    assert "events, 30,084 before, 15,042 now" in reasons["volume"].sentence
    assert tuple(reasons.values()) == caught.value.checks
    assert str(caught.value).startswith(f"version {refused.name}: refused by ")
    recsys.verify(tmp_path, refused.name)

    good = recsys.train(night, tmp_path, settings=settings())
    assert current(tmp_path) == good.name
    assert (good.manifest.status, good.manifest.parent) == ("accepted", first.name)
    assert len(versions(tmp_path)) == 3
    assert [one.version for one in ancestors(good, 9)] == [good.name, first.name]


def test_a_refused_version_becomes_current_by_force_alone(
    night: Interactions, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    recsys.train(night, tmp_path, settings=settings())
    with pytest.raises(GateFailedError) as caught:
        recsys.train(half_of(night), tmp_path, settings=settings())
    name = str(caught.value.version)
    opened(tmp_path, None)
    assert f"version {name}, the newest, was refused" in capsys.readouterr().err
    other = replace(night, items=Ids([f"other {item}" for item in night.items.tolist()]))
    with pytest.warns(RuntimeWarning, match=r"0% are in this log; .* --store OTHER"):
        warn_of_another_log(tmp_path, open_version(tmp_path), other)
    with pytest.raises(GateFailedError, match=f"recsys activate {name} --force"):
        activate(tmp_path, name)
    assert current(tmp_path) != name

    of_it = ("--store", tmp_path)
    done = run("activate", name, *of_it)
    assert done.returncode == 1
    assert done.stderr.startswith(f"recsys: version {name}: refused by ")
    assert run("activate", name, "--force", *of_it).returncode == 0
    rows = {row["version"]: row for row in json.loads(run("versions", "--json", *of_it).stdout)}
    assert (rows[name]["status"], rows[name]["current"]) == ("refused", True)
    drifted = run("drift", *of_it)
    assert drifted.returncode == 0, drifted.stderr
    assert "past_days" in drifted.stdout
    report = json.loads(run("drift", "--json", *of_it).stdout)
    assert report["b"] == name
    assert not report["is_quiet"]


@pytest.mark.parametrize(
    ("gates", "has_checks"),
    [
        ({"enabled": False}, False),
        ({"refuse_above": 1e6}, True),
        ({"limits": {"volume": 9.0}, "off": ["past_days", "list_churn"]}, True),
    ],
)
def test_what_is_off_refuses_nothing(
    tmp_path: Path, gates: dict[str, object], has_checks: bool
) -> None:
    log = a_log()
    others = ["user_activity", "item_popularity", "items_vanished", "neighbour_churn", "top_scores"]
    others += ["item_norms", "user_norms", "list_coverage", "list_gini", "users_vanished"]
    gates = {**gates, "off": [*gates.get("off", ()), *others]}  # type: ignore[misc]
    recsys.train(log, tmp_path, settings=settings(**gates))
    version = recsys.train(half_of(log), tmp_path, settings=settings(**gates))
    assert version.manifest.status == "accepted"
    assert any(not check.passed for check in version.manifest.checks) == has_checks


def test_a_new_model_may_move_the_lists(tmp_path: Path) -> None:
    log = a_log()
    recsys.train(log, tmp_path, settings=settings())
    other = replace(settings(), model=recsys.Popularity())
    version = recsys.train(log, tmp_path, settings=other)
    (churn,) = (check for check in version.manifest.checks if check.name == "list_churn")
    assert not churn.passed
    assert churn.sentence.endswith("(the model changed)")


def measured(ndcg: float, popularity: float, coverage: float = 0.5) -> dict[str, EvaluationSummary]:
    """Metrics as the manifest has them, with intervals of a tenth to both sides."""
    return {
        name: EvaluationSummary(
            k=20,
            n_users=100,
            n_items=100,
            metrics={"ndcg@20": value, "coverage@20": coverage},
            intervals={"ndcg@20": (0.9 * value, 1.1 * value)},
            left_out={},
        )
        for name, value in (("als", ndcg), ("popularity", popularity))
    }


@pytest.fixture(scope="module")
def release() -> Release:
    return release_of(a_log())


@pytest.mark.parametrize(
    ("metrics", "gates", "refused_by"),
    [
        (measured(0.30, 0.1), {}, None),
        (measured(0.26, 0.1), {}, None),  # intervals overlap
        (measured(0.20, 0.1), {}, "as_good_as_current"),
        (measured(0.20, 0.1), {"max_metric_loss": 0.2}, None),
        (measured(0.20, 0.1), {"off": ["as_good_as_current"]}, None),
        (measured(0.30, 0.4), {}, "better_than_popularity"),
        (measured(0.30, 0.1), {"min_coverage": 0.6}, "catalogue_coverage"),
    ],
)
def test_metrics_by_their_intervals(
    tmp_path: Path,
    release: Release,
    metrics: dict[str, EvaluationSummary],
    gates: dict[str, Any],
    refused_by: str | None,
) -> None:
    publish(tmp_path, replace(release, metrics=measured(0.3, 0.1)), EXACT)
    night = replace(release, metrics=metrics)
    found = gated(tmp_path, night, GateSettings(**gates))
    assert [check.name for check in found.manifest.checks if check.refuses] == (
        [refused_by] if refused_by else []
    )


def gated(store: Path, release: Release, gates: GateSettings) -> Version:
    try:
        return publish(store, release, EXACT, gate=Gates(gates))
    except GateFailedError as error:
        return find_version(store, error.version)


def test_a_first_version_is_held_against_popularity(tmp_path: Path, release: Release) -> None:
    bad = replace(release, metrics=measured(0.1, 0.2))
    with pytest.raises(GateFailedError, match=r"ndcg@20 0\.1000 .*popularity 0\.2000"):
        publish(tmp_path, bad, EXACT, gate=Gates())
    assert current(tmp_path) is None
    assert [one.manifest.status for one in versions(tmp_path)] == ["refused"]


def test_a_damaged_current_version_does_not_stop_the_next(tmp_path: Path, release: Release) -> None:
    first = publish(tmp_path, release, EXACT)
    path = first.folder / "users.parquet"
    path.chmod(0o644)
    path.write_bytes(b"damaged")
    with pytest.warns(RuntimeWarning, match=f"passed over {first.name}"):
        version = publish(tmp_path, release, EXACT, gate=Gates())
    assert current(tmp_path) == version.name
    checks = {check.name: check for check in version.manifest.checks}
    assert checks["volume"].value == 0  # the manifest alone answers this
    assert checks["list_churn"].value is None
    assert f"version {first.name} is damaged" in checks["list_churn"].sentence
    assert set(OF_ITSELF) <= set(checks)


OF_ITSELF = ("users_with_vectors", "better_than_chance")


def collapsed(release: Release, share: float) -> Release:
    """The same with vectors of the first users that are all but zero."""
    users = release.embeddings.users.copy()
    users[: round(share * len(users))] *= 1e-9
    return replace(release, embeddings=Embeddings(users, release.embeddings.items))


def at_random(release: Release) -> Release:
    """The same with vectors that know nothing of the log."""
    rng = np.random.default_rng(0)
    users, items = (
        rng.normal(0, 1e-6, rows.shape).astype(np.float32)
        for rows in (release.embeddings.users, release.embeddings.items)
    )
    return replace(release, embeddings=Embeddings(users, items))


@pytest.mark.parametrize(
    ("spoiled", "refusing"),
    [
        (lambda release: release, ()),
        (lambda release: collapsed(release, 0.4), ()),
        (lambda release: collapsed(release, 0.6), ("users_with_vectors",)),
        (at_random, ("better_than_chance",)),
    ],
    ids=["whole", "few are zero", "most are zero", "at random"],
)
def test_a_version_that_knows_nothing_of_its_own_log_is_refused(
    tmp_path: Path,
    release: Release,
    spoiled: Callable[[Release], Release],
    refusing: tuple[str, ...],
) -> None:
    if not refusing:
        version = publish(tmp_path, spoiled(release), EXACT, gate=Gates())
        checks = {check.name: check for check in version.manifest.checks}
        assert all(checks[name].passed for name in OF_ITSELF)
        return
    with pytest.raises(GateFailedError) as caught:
        publish(tmp_path, spoiled(release), EXACT, gate=Gates())
    assert tuple(check.name for check in caught.value.checks if check.refuses) == refusing
    off = GateSettings(off=refusing)
    assert publish(tmp_path, spoiled(release), EXACT, gate=Gates(off)).manifest.status == "accepted"


def test_a_refusal_names_what_moved_most(night: Interactions, sample: Path, tmp_path: Path) -> None:
    """The item with most users is gone, and all events of one user came thirty times."""
    items = recsys.read_items(sample.parent / "items.parquet")
    recsys.train(night, tmp_path, settings=settings(), items=items)
    popular = int(np.bincount(night.item_idx).argmax())
    times = np.where(night.user_idx == night.user_idx[0], 30, 1)
    less = night.select(np.repeat(np.arange(len(night)), times * (night.item_idx != popular)))
    less = less.compact()
    gates = {"limits": {"items_vanished": 0.0001}}
    with pytest.raises(GateFailedError) as caught:
        recsys.train(less, tmp_path, settings=settings(**gates), items=items)
    (vanished,) = [one for one in caught.value.checks if one.name == "items_vanished"]
    item_id = night.items.tolist()[popular]
    title = next(row["title"] for row in items.to_pylist() if row["item_id"] == item_id)
    assert f"; most: {title!r} ({item_id}) (" in vanished.sentence
    (busiest,) = [one for one in caught.value.checks if one.name == "busiest_user"]
    assert busiest.sentence.endswith(f"; most: {night.users[int(night.user_idx[0])]}")


def test_few_users_and_popularity_are_not_held_against_chance(tmp_path: Path) -> None:
    for number, (log, model) in enumerate(
        [(tastes(n_users=20, per_user=4), ALS(factors=2)), (a_log(), Popularity())]
    ):
        embeddings = model.fit(log)
        spec = ModelSpec(model.name, {})
        version = publish(
            tmp_path / str(number),
            release_of(log, embeddings=embeddings, model=spec),
            EXACT,
            gate=Gates(),
        )
        (check,) = [one for one in version.manifest.checks if one.name == "better_than_chance"]
        assert check.value is None
        assert "not measured" in check.sentence


def test_the_night_after_an_upgrade_may_change_the_unit_of_weights(tmp_path: Path) -> None:
    log = replace(a_log(), weight=np.full(len(a_log()), 40, dtype=np.float32))
    spec = ModelSpec("als", {"factors": 8})
    raw = release_of(log)
    old = replace(
        raw,
        model=spec,
        embeddings=Embeddings(3 * raw.embeddings.users, 3 * raw.embeddings.items),
    )
    publish(tmp_path, old, EXACT)
    new = replace(raw, model=replace(spec, mean_weight=40.0))
    version = publish(tmp_path, new, EXACT, gate=Gates())
    moved = {check.name: check for check in version.manifest.checks if not check.passed}
    assert {"item_norms", "user_norms"} <= set(moved)
    assert "weights are in units of their mean now" in moved["user_norms"].sentence
    again = replace(new, embeddings=old.embeddings)  # explained once, and not for good
    with pytest.raises(GateFailedError, match="user_norms"):
        publish(tmp_path, again, EXACT, gate=Gates())


@pytest.mark.parametrize("n_before", [0, 1])
def test_a_flipped_bit_of_the_current_version_switches_no_gate_off(
    night: Interactions, tmp_path: Path, n_before: int
) -> None:
    """Half a log is refused beside a damaged version as beside an undamaged one."""
    refusing = {}
    for damage in (False, True):
        store = tmp_path / str(damage)
        for _ in range(n_before + 1):
            last = recsys.train(night, store, settings=settings())
        if damage:
            path = last.folder / "serving" / "index" / "codes.npy"
            content = bytearray(path.read_bytes())
            content[len(content) // 2] ^= 1
            path.chmod(0o644)
            path.write_bytes(content)
        with warnings.catch_warnings(record=True) as warned:
            warnings.simplefilter("always")
            with pytest.raises(GateFailedError) as no:
                recsys.train(half_of(night), store, settings=settings())
        assert current(store) == last.name
        assert any("codes.npy" in str(one.message) for one in warned) == damage
        refusing[damage] = {check.name for check in no.value.checks}
    if n_before:  # the version before answers all
        assert refusing[True] == refusing[False] >= {"volume", "past_days"}
    else:  # the manifest answers for the log
        assert refusing[False] > refusing[True] >= {"volume", "past_days"}


@pytest.mark.parametrize(
    ("gates", "message"),
    [
        ({"off": ["list_chrun"]}, "gates.off: expected some of .*did you mean 'list_churn'"),
        ({"limits": {"churn": 1.0}}, "gates.limits: expected some of .*got 'churn'"),
        ({"limits": {"volume": -1.0}}, "gates.limits.volume: expected 0 or more, got -1"),
        ({"metric": "ndgc"}, "gates.metric: expected one of"),
        ({"refuse_above": 0.5}, "gates.refuse_above: expected 1 or more"),
        ({"max_metric_loss": 1.0}, "gates.max_metric_loss: expected a share"),
        ({"history": 0}, "gates.history: expected 1 or more"),
        ({"enabled": 1}, "gates.enabled: "),
        ({"churn": 1}, "gates.churn: unknown key"),
    ],
)
def test_a_wrong_setting_is_named(gates: dict[str, object], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings_from({"gates": gates})


def test_a_log_that_does_not_come_in_is_reported_and_refuses_nothing(tmp_path: Path) -> None:
    log = a_log()
    assert log.timestamp is not None
    now = int(datetime.now(UTC).timestamp())
    fresh = replace(log, timestamp=log.timestamp - log.timestamp.max() + now)
    stale = replace(fresh, timestamp=fresh.timestamp - 3 * 86_400)  # type: ignore[operator]
    gates = {"off": ["past_days"]}
    recsys.train(fresh, tmp_path, settings=settings(**gates))
    version = recsys.train(stale, tmp_path, settings=settings(**gates))
    checks = {check.name: check for check in version.manifest.checks}
    assert checks["log_age"].value == pytest.approx(3, abs=0.01)
    assert not checks["log_age"].passed
    version = recsys.train(stale, tmp_path, settings=settings(**gates, limits={"log_age": 4.0}))
    assert {check.name: check for check in version.manifest.checks}["log_age"].passed


def test_purchases_that_stay_away_are_refused(
    night: Interactions, sample: Path, tmp_path: Path
) -> None:
    recsys.train(night, tmp_path, settings=settings())
    rows = pq.read_table(sample)
    without = rows.filter(pc.not_equal(rows["event"], "purchase"))
    with pytest.raises(GateFailedError) as caught:
        recsys.train(recsys.read_log(without, events=WEIGHTS), tmp_path, settings=settings())
    reasons = {check.name: check.sentence for check in caught.value.checks}
    assert "purchase -" in reasons["event_types"]


def test_rows_that_cannot_be_used_any_more_are_refused(
    night: Interactions, sample: Path, tmp_path: Path
) -> None:
    recsys.train(night, tmp_path, settings=settings())
    rows = pq.read_table(sample)
    is_bad = np.arange(rows.num_rows) % 20 == 0
    bad = pc.if_else(pa.array(is_bad), pa.scalar(None, pa.string()), rows["user_id"])
    rows = rows.set_column(rows.schema.get_field_index("user_id"), "user_id", bad)
    log = recsys.read_log(rows, events=WEIGHTS, max_rejected_share=0.1)
    with pytest.raises(GateFailedError) as caught:
        recsys.train(log, tmp_path, settings=settings())
    reasons = {check.name: check.sentence for check in caught.value.checks}
    assert "0.00% before, 5.00% now" in reasons["rejected_share"]


def test_rows_left_out_are_those_of_numpy() -> None:
    rng = np.random.default_rng(0)
    for n in (1, 5, 300, 10**6):
        for n_seen in (0, 1, 80):
            rows, seen = rng.integers(0, n, 200), rng.integers(0, n, n_seen).astype(np.int32)
            assert _without(rows, seen).tolist() == np.setdiff1d(rows, seen).tolist()


def evaluation_of_new(low: float, high: float) -> Any:
    """Return what the gate reads of a version whose recall over new items has this interval."""
    summary = EvaluationSummary(
        k=20,
        n_users=9,
        n_items=9,
        metrics={"recall@20": (low + high) / 2},
        intervals={"recall@20": (low, high)},
        left_out={},
    )
    model = ModelSpec("als", {})
    metrics = {"als": summary, "als, new items": summary}
    return SimpleNamespace(metrics=metrics, model=model, evaluation=summary, config={})


def test_recall_over_new_items_is_held_to_that_of_the_version_before() -> None:
    before = evaluation_of_new(0.20, 0.24)
    for new, passes in (
        (evaluation_of_new(0.16, 0.195), True),
        (evaluation_of_new(0.10, 0.15), False),
    ):
        (check,) = Gates()._of_new_items(new, before)
        assert check.passed == passes
        assert check.sentence.startswith("new_items_as_good_as_current: recall@20 0.")
    without = evaluation_of_new(0.1, 0.2)
    del without.metrics["als, new items"]
    assert Gates()._of_new_items(before, without) == []
    assert Gates()._of_new_items(before, None) == []
