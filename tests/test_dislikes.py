"""Dislikes, from a log to lists: seen, none of what is counted, and a pull downwards."""

import json
from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.csv
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import recsys
from recsys.base.event_settings import EventSettings
from recsys.errors import ConfigError, DataError
from recsys.events.weights import EventWeights
from recsys.logs import Interactions, RowCounts
from recsys.nightly.extension import Extension
from recsys.service import Service, ServiceSettings
from recsys.service.list_writer import ListWriter
from recsys.serving import Recommender
from recsys.serving.fresh import Since
from recsys.splits import split_by_time, split_folds, split_items, split_last, split_random
from recsys.store import open_version
from recsys.vectors import Ids
from tests.command_line import run
from tests.service.asking import get, post
from tests.worlds import START

EVENTS = {"view": 1.0, "dislike": -3.0}
SMALL = {"model": recsys.ALS(factors=8, regularization=0.1), "index": {"kind": "exact"}}
N_USERS, N_ITEMS = 40, 10  # items a0 to a9 and b0 to b9


def divided() -> pa.Table:
    """All users view some of a; even ones view some of b as well, and odd ones dislike two of b."""
    rng = np.random.default_rng(0)
    rows = []
    for user in range(N_USERS):
        of_a, of_b = (rng.permutation(N_ITEMS) for _ in range(2))
        rows += [(user, f"a{item}", "view") for item in of_a[:4]]
        rows += [(user, f"b{item}", "view") for item in of_b[:5] if user % 2 == 0]
        rows += [(user, f"b{item}", "dislike") for item in of_b[:2] if user % 2]
    order = rng.permutation(len(rows))
    users, items, events = zip(*(rows[row] for row in order), strict=True)
    times = START + 3600 * np.arange(len(rows))
    columns = {"user_id": users, "item_id": items, "event": events}
    return pa.table({**columns, "timestamp": pa.array(times)})


def read(table: pa.Table, **options: object) -> Interactions:
    return recsys.read_log(table, events=EVENTS, **options)


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("dislikes")
    pyarrow.csv.write_csv(divided(), folder / "log.csv")
    recsys.train(folder / "log.csv", folder / "store", events=EVENTS, **SMALL)
    return folder / "store"


@pytest.fixture(scope="module")
def recommender(store: Path) -> Recommender:
    return recsys.open(store)


def disliked_by(user: int) -> set[str]:
    rows = divided().to_pylist()
    return {row["item_id"] for row in rows if (row["user_id"], row["event"]) == (user, "dislike")}


def test_a_dislike_counts_nowhere_but_in_what_is_seen() -> None:
    table = divided()
    log, alone = read(table), recsys.read_log(table.filter(pc.equal(table["event"], "view")))
    assert log.dislikes is not None
    assert (len(log), log.users) == (len(alone), alone.users)
    assert log.dislikes.weight.tolist() == [3.0] * N_USERS
    np.testing.assert_array_equal(log.user_items().toarray(), alone.user_items().toarray())
    np.testing.assert_array_equal(log.recent_popularity(30), alone.recent_popularity(30))
    signed = log.user_items(signed=True)
    assert ((signed.data < 0).sum(), signed.nnz) == (N_USERS, alone.user_items().nnz + N_USERS)
    assert log.row_counts.dislikes == N_USERS
    assert f"{N_USERS} of those used are dislikes" in str(log.row_counts)
    again = RowCounts.from_dict(json.loads(json.dumps(log.row_counts.to_dict())))
    assert again.dislikes == N_USERS
    assert read(table, max_memory="1kB").user_items(signed=True).nnz == signed.nnz
    assert read(table, session_gap_minutes=60).dislikes is not None
    cored = read(table, min_item_users=12, k_core=True)
    assert cored.dislikes is not None
    assert len(cored.dislikes) < N_USERS  # those of items that too few have are gone with them


POLICIES = ("sum", "last", "max", "count")


@settings(max_examples=30, deadline=None)
@given(
    events=st.lists(
        st.tuples(st.integers(0, 2), st.integers(0, 3), st.sampled_from((1.0, 2.0, -1.0, -3.0))),
        min_size=1,
        max_size=25,
    ),
    policy=st.sampled_from(POLICIES),
)
def test_events_of_a_pair_are_merged_as_the_policy_says(
    events: list[tuple[int, int, float]], policy: str
) -> None:
    rows = [(*event, START + number) for number, event in enumerate(events)]

    def part(sign: float) -> Interactions:
        chosen = [row for row in rows if row[2] * sign > 0]
        user, item, weight, time = (np.array([one[at] for one in chosen]) for at in range(4))
        return Interactions(
            user.astype(np.int32),
            item.astype(np.int32),
            np.abs(weight).astype(np.float32),
            time.astype(np.int64),
            Ids(range(3)),
            Ids(range(4)),
            duplicates=policy,  # type: ignore[arg-type]
        )

    log = replace(part(1), dislikes=part(-1))
    of_pair: dict[tuple[int, int], list[float]] = {}
    for user, item, weight, _ in rows:
        of_pair.setdefault((user, item), []).append(weight)
    as_one = {
        "sum": sum,
        "count": lambda weights: sum(map(np.sign, weights)),
        "last": lambda weights: weights[-1],
        "max": lambda weights: max(weights, key=lambda one: (abs(one), one < 0)),
    }[policy]
    expected = {pair: as_one(weights) for pair, weights in of_pair.items()}
    signed = log.user_items(signed=True).tocoo()
    found = dict(
        zip(zip(signed.row.tolist(), signed.col.tolist(), strict=True), signed.data, strict=True)
    )
    assert found == pytest.approx(expected)
    assert all(weight != 0 for weight in found.values())  # what is left of nothing was seen
    likes = log.user_items().tocoo()
    assert set(zip(likes.row.tolist(), likes.col.tolist(), strict=True)) == {
        pair for pair, weight in expected.items() if weight > 0
    }


def test_values_can_be_dislikes() -> None:
    ratings = pa.table(
        {"user_id": [1, 1, 1, 1, 2], "item_id": list("abcda"), "value": [5.0, 3.0, 2.0, 0.5, 4.0]}
    )
    log = recsys.read_log(ratings, min_value=4, max_disliked_value=2, disliked_value_weight=1.5)
    assert log.row_counts.left_out == {"value below min_value": 1}
    assert log.user_items(signed=True).toarray().tolist() == [[1, -1.5, -1.5], [1, 0, 0]]
    weights = EventWeights.of(
        {"log": {"min_value": 4, "max_disliked_value": 2, "disliked_value_weight": 1.5}},
        log.row_counts,
    )
    assert [weights.weight(None, one) for one in (5, 3, 2, -1)] == [1, 0, -1.5, -1.5]
    assert EventWeights.of({"log": {"events": EVENTS}}).weight("dislike", None) == -3
    with pytest.raises(ConfigError, match=r"less than log.min_value = 4, got 4"):
        recsys.read_log(ratings, min_value=4, max_disliked_value=4)
    with pytest.raises(DataError, match="expected events that are no dislikes, got 5"):
        recsys.read_log(ratings, max_disliked_value=5)
    untimed = {"user_id": [1, 1], "item_id": [1, 1], "event": ["view", "dislike"]}
    with pytest.raises(DataError, match=r'log.duplicates: "last" needs timestamps'):
        read(pa.table(untimed), duplicates="last")


def test_splits_cut_dislikes_as_they_cut_events() -> None:
    log = read(divided())
    train, test = split_by_time(log, test_fraction=0.3)
    assert train.timestamp is not None
    assert train.dislikes is not None
    assert test.dislikes is not None
    assert train.dislikes.timestamp.max() < test.timestamp.min()  # type: ignore[union-attr]
    assert test.dislikes.timestamp.min() >= train.timestamp.max()  # type: ignore[union-attr]
    for train, test in (
        split_last(log),
        split_random(log, test_fraction=0.5),
        *split_folds(log, 2),
        split_items(log, share=0.3),
    ):
        found = recsys.evaluate(recsys.ALS(factors=4).fit(train), train, test, k=5)
        held = 0 if test.dislikes is None else len(test.dislikes)
        assert ("disliked@5" in found.metrics) == (held > 0)
    parts = recsys.split_users(log, user_fraction=0.3, test_fraction=0.5)
    assert parts.history.dislikes is not None
    assert "disliked@5" in recsys.evaluate_held_out(recsys.ALS(factors=4), parts, k=5).metrics


def test_the_share_of_disliked_items_is_worked_out_by_hand() -> None:
    train, test = split_random(read(divided()), test_fraction=0.5, seed=1)
    assert test.dislikes is not None
    model = recsys.ALS(factors=4).fit(train)
    found = recsys.evaluate(model, train, test, k=3)
    seen, pairs = train.user_items(signed=True).toarray() != 0, set()
    pairs |= set(zip(test.dislikes.user_idx.tolist(), test.dislikes.item_idx.tolist(), strict=True))
    shares = []
    for user in np.unique(test.user_idx).tolist():
        scores = np.where(seen[user], -np.inf, model.items @ model.users[user])
        listed = np.argsort(-scores, kind="stable")[:3].tolist()
        shares.append(sum((user, item) in pairs for item in listed) / 3)
    assert found.metrics["disliked@3"] == pytest.approx(np.mean(shares))


def test_what_was_disliked_is_never_listed_and_pulls_down(
    store: Path, recommender: Recommender
) -> None:
    manifest = recsys.versions(store)[0].manifest
    assert (manifest.log.dislikes, manifest.log.mean_dislike) == (N_USERS, 3.0)
    users = pq.read_table(recsys.versions(store)[0].folder / "users.parquet").to_pylist()
    disliked = {
        one["user_id"]: {
            recommender.item_vectors.ids[item]
            for item, weight in zip(one["seen"], one["seen_weight"], strict=True)
            if weight < 0
        }
        for one in users
    }
    assert disliked == {user: disliked_by(user) for user in range(N_USERS)}
    odd = list(range(1, N_USERS, 2))
    many = recommender.recommend_many(odd, 2 * N_ITEMS, include_seen=True)
    for user, found in zip(odd, many, strict=True):
        alone = recommender.recommend(user, 2 * N_ITEMS, include_seen=True)
        assert [one.item_id for one in found] == [one.item_id for one in alone]
        assert {one.item_id for one in alone} == set(recommender.item_vectors.ids.tolist()) - (
            disliked_by(user)
        )
        assert not {one.item_id for one in recommender.history(user, 20)} & disliked_by(user)
        reasons = recommender.recommend(user, 3).reasons
        assert not {one.item_id for one in reasons if one} & disliked_by(user)


def mean_of_b(recommender: Recommender, **given: list[str]) -> float:
    found = recommender.recommend_for_history(["a0", "b2"], 2 * N_ITEMS, **given)
    return float(np.mean([score for item, score in found if str(item).startswith("b")]))


def test_a_history_with_dislikes(recommender: Recommender) -> None:
    assert mean_of_b(recommender, dislikes=["b0", "b1"]) < mean_of_b(recommender)
    found = recommender.recommend_for_history(["a0"], 20, dislikes=["b0", "a0"], include_seen=True)
    assert found.source == "popular"  # the one liked item is disliked as well
    assert {"b0", "a0"}.isdisjoint(one.item_id for one in found)
    why = recommender.explain_for_history(["a0", "b2"], "b5", dislikes=["b0"])
    added = dict(why.contributions)
    assert added["b0"] < 0 < added["b2"]
    assert sum(added.values()) == pytest.approx(why.score, rel=1e-3)
    own = recommender.explain(1, "b9" if "b9" not in disliked_by(1) else "b8")
    assert disliked_by(1) < dict(own.parts).keys()
    assert own.rest == pytest.approx(0, abs=1e-3)


def test_dislikes_of_anybody_in_one_list_and_in_many(recommender: Recommender) -> None:
    """Of who is unknown they are folded in; of everybody, they are in no list."""
    users, ids = [1, 2, 900, 901, 902, 903], recommender.item_vectors.ids.tolist()
    histories = [["a0"], None, ["a0", "b2"], None, ["a0"], ["a0", "nothing"]]
    dislikes = [["a1", "b2"], None, ["b0", "a0"], ["b0"], ["a0"], ["nothing"]]
    for asked in ({}, {"include_seen": True}, {"diversity": 0.3}):
        many = recommender.recommend_many(
            users, len(ids), histories=histories, dislikes=dislikes, **asked
        )
        for user, history, disliked, found in zip(users, histories, dislikes, many, strict=True):
            given = {"history": history, "dislikes": disliked or ()}
            alone = recommender.recommend(user, len(ids), **given, **asked)
            assert [one.item_id for one in found] == [one.item_id for one in alone]
            assert (found.source, found.reasons) == (alone.source, alone.reasons)
            assert not {one.item_id for one in found} & {*given["dislikes"]}
            if user >= 900 and history:
                twin = recommender.recommend_for_history(
                    history, len(ids), dislikes=disliked or (), **asked
                )
                assert [one.item_id for one in twin] == [one.item_id for one in found]
    assert many[3].source == "popular"  # dislikes alone say nothing of taste
    with pytest.raises(DataError, match="dislikes: expected one for each of 1 users, got 2"):
        recommender.recommend_many([1], dislikes=[["b0"], None])


def test_what_happens_today_counts_with_its_sign(recommender: Recommender) -> None:
    request = recommender.rows.request(2 * N_ITEMS)
    before = recommender.recommend(0, 2 * N_ITEMS)
    b = next(one.item_id for one in before if str(one.item_id).startswith("b"))
    found = recommender.rows.with_events(0, request, Since([(b, -3.0)]))
    after = recommender.rows.named(found)
    assert b not in {one.item_id for one in after}
    assert sum(score for _, score in after) < sum(score for _, score in before)
    why = recommender.rows.explain_with_events(0, "a0", Since([(b, -3.0)]))
    assert why is not None
    assert dict(why.parts)[b] < 0
    disliked = min(disliked_by(1))  # and of which a like of today leaves a like
    liked = recommender.rows.named(recommender.rows.history(1, 20, Since([(disliked, 4.0)])))
    assert dict(liked)[disliked] == 1


def test_over_http(store: Path, recommender: Recommender, tmp_path: Path) -> None:
    service = Service(
        store, ServiceSettings(), events=EventSettings(database=str(tmp_path / "events.sqlite"))
    ).open()
    try:
        asked: dict[str, object] = {"history": ["a0", "b2"], "dislikes": ["b0"], "k": 20}
        listed = post(service, "/v1/recommendations", asked).json()["items"]
        expected = recommender.recommend_for_history(["a0", "b2"], 20, dislikes=["b0"])
        assert [one["item_id"] for one in listed] == [one.item_id for one in expected]
        alone = post(service, "/v1/recommendations", {"dislikes": ["b0"], "k": 20}).json()["items"]
        expected = recommender.recommend_for_history([], 20, dislikes=["b0"])
        assert [one["item_id"] for one in alone] == [one.item_id for one in expected]
        path = "/v1/users/950/recommendations?k=20&history=a0&history=b2&dislikes=b0"
        assert get(service, path).json()["items"] == listed
        event = {"user_id": 950, "item_id": "a1", "event": "view"}  # what was said counts beside it
        assert post(service, "/v1/events", event).json()["added"] == 1
        after = get(service, path).json()["items"]
        assert {"b0", "a1"}.isdisjoint(one["item_id"] for one in after)
        assert after != listed
        del asked["k"]
        why = post(service, "/v1/explanations", {**asked, "item_id": "b5"}).json()
        assert {one["item_id"]: one["score"] for one in why["parts"]}["b0"] < 0
        b = next(one.item_id for one in recommender.recommend(0, 20) if one.item_id[0] == "b")
        event = {"user_id": 0, "item_id": b, "event": "dislike"}
        assert post(service, "/v1/events", event).json()["added"] == 1
        found = get(service, "/v1/users/0/recommendations", k=20, include_seen="true").json()
        assert b not in {one["item_id"] for one in found["items"]}
        why = get(service, f"/v1/users/0/explanations/{b}").json()
        assert {one["item_id"]: one["score"] for one in why["parts"]}[b] < 0
    finally:
        service.live.stop()


def test_dislikes_that_a_least_value_leaves_out_are_named() -> None:
    """Cancelled orders have quantities below 0."""
    kinds = {"user_id": [1, 1, 2], "item_id": [1, 2, 1], "kind": ["buy", "cancel", "buy"]}
    table = pa.table({**kinds, "quantity": [3, -1, 2]})
    named = {"event": "kind", "value": "quantity"}
    asked = {"columns": named, "events": {"buy": 1, "cancel": -1}}
    said = "no row of 'cancel' is a dislike: those below log.min_value are left out, 1 rows"
    assert said in recsys.read_log(table, **asked, min_value=1).row_counts.notes
    assert recsys.read_log(table, columns=named, events={"buy": 1, "cancel": 0}, min_value=1)


def test_a_refresh_keeps_signs(store: Path) -> None:
    content = open_version(store)
    liked = content.items.ids[int(content.users.seen.liked(0)[0])]
    new = {"user_id": [90, 90, 0], "item_id": ["a0", "b0", liked]}
    events = {"event": ["view", "dislike", "dislike"], "timestamp": [START + 10**7] * 3}
    extension = Extension(content, read(pa.concat_tables([divided(), pa.table(new | events)])))
    rows = {user: extension.users.tolist().index(user) for user in (0, 90)}
    column = {item: extension.items.tolist().index(item) for item in ("a0", "b0", liked)}
    assert extension.added.users == 1
    assert extension.seen[rows[0], column[liked]] == -2  # a view, and a dislike of 3
    assert [extension.seen[rows[90], column[item]] for item in ("a0", "b0")] == [1, -3]
    added = extension.embeddings().users[rows[90]]
    histories = recsys.open(store).rows.histories
    folded = histories.fold_in(histories.of(["a0"], None, "item_ids", dislikes=["b0"]))[0]
    np.testing.assert_allclose(added, folded, atol=1e-4)


def test_the_command_line_reads_and_asks(store: Path, tmp_path: Path) -> None:
    log = store.parent / "log.csv"
    told = run(
        "evaluate", log, "--weight", "dislike=-3", "--split", "random", "--model", "als", "--json"
    )
    assert told.returncode == 0, told.stderr
    assert "disliked@20" in told.stdout
    listed = run(
        *("recommend", "--history", "a0", "--dislikes", "b0", "-k", "20"),
        *("--store", store, "--json"),
    )
    assert listed.returncode == 0, listed.stderr
    assert "b0" not in {one["item_id"] for one in json.loads(listed.stdout)["items"]}
    of_known = run("recommend", "1", "--dislikes", "a1", "-k", "99", "--store", store, "--json")
    assert "a1" not in {one["item_id"] for one in json.loads(of_known.stdout)["items"]}
    refused = run("recommend", "--list", "popular", "--dislikes", "b0", "--store", store)
    assert (refused.returncode, "no dislikes beside it" in refused.stderr) == (2, True)
    refused = run("train", log, "--weight", "dislike", "--store", tmp_path)
    assert refused.returncode == 2
    assert "such as dislike=-3, got 'dislike'" in refused.stderr


@pytest.mark.parametrize(
    "model", [recsys.SVD(4), recsys.Blend(recsys.ALS(4), recsys.SVD(4)), recsys.Popularity()]
)
def test_every_model_keeps_dislikes_out_of_lists(model: object, tmp_path: Path) -> None:
    log = read(divided())
    takes = model.name == "blend"  # type: ignore[attr-defined]
    with nullcontext() if takes else pytest.warns(RuntimeWarning, match="learns nothing from"):
        recsys.train(log, tmp_path, model=model, index={"kind": "exact"})
    recommender = recsys.open(tmp_path)
    found = recommender.recommend(1, 2 * N_ITEMS)
    assert not {one.item_id for one in found} & disliked_by(1)
    why = recommender.explain_for_history(["a0", "a1"], "b5", dislikes=["b0"])
    assert ("b0" in dict(why.parts)) == takes


def test_all_catalogues_measure_dislikes_and_count_none_as_popular() -> None:
    train, test = split_items(read(divided()), share=0.3, test_fraction=0.5, seed=2)
    info = test.split_info
    assert info is not None
    assert info.new_items is not None
    rng = np.random.default_rng(0)
    n_warm, n_new = len(train.items), len(info.new_items.items)
    found = recsys.Embeddings(
        rng.random((len(train.users), 3), dtype=np.float32),
        rng.random((n_warm + n_new, 3), dtype=np.float32),
    )
    of_each = recsys.evaluate_new_items(found, train, test, k=4)
    warm = recsys.Embeddings(found.users, found.items[:n_warm])
    assert of_each.warm.metrics == recsys.evaluate(warm, train, test, k=4).metrics
    new = info.new_items
    assert new.dislikes is not None
    scores = found.users @ found.items[n_warm:].T
    listed = np.argsort(-scores, axis=1, kind="stable")[:, :4]
    is_disliked = new.dislikes.user_items().toarray() > 0
    likes = new.user_items().toarray().any(axis=1)
    by_hand = np.take_along_axis(is_disliked, listed, axis=1).mean(axis=1)[likes]
    assert of_each.cold.metrics["disliked@4"] == pytest.approx(by_hand.mean())
    assert 0 < of_each.mixed.metrics["disliked@4"] < 1


def test_what_is_disliked_is_no_item_of_a_user(recommender: Recommender) -> None:
    """Each has four of a; even users have five of b, and odd ones dislike two."""
    found = recommender.audience("a0", N_USERS, where="n_items > 4")
    assert {int(str(one.item_id)) % 2 for one in found} == {0}
    assert len(recommender.audience("a0", N_USERS, where="n_items = 4")) > 0


def test_dislikes_alone_are_no_attributes(tmp_path: Path) -> None:
    """A model whose users are all alike has an embedding for whoever likes nothing."""
    options = {**SMALL, "model": recsys.Popularity(), "split": "none"}
    with pytest.warns(RuntimeWarning, match="popularity learns nothing from"):
        recsys.train(divided(), tmp_path, events=EVENTS, **options)
    recommender = recsys.open(tmp_path)
    one = recommender.recommend_for_history([], 3, dislikes=["a0"])
    (of_many,) = recommender.recommend_many(["new"], 3, dislikes=[["a0"]])
    assert one.source == of_many.source == "fold_in"
    assert one.items == of_many.items


def test_an_item_that_is_only_disliked_is_not_new(tmp_path: Path) -> None:
    """Nobody has it, and yet it takes no place that new items are to have."""
    odd = [user for user in range(N_USERS) if user % 2]
    hated = {"user_id": odd, "item_id": ["hated"] * len(odd), "event": ["dislike"] * len(odd)}
    times = {"timestamp": [START] * len(odd)}
    ids = [*(f"{kind}{item}" for kind in "ab" for item in range(N_ITEMS)), "hated", "fresh"]
    items = pa.table({"item_id": ids, "kind": ["x", "y"] * (len(ids) // 2)})
    events = pa.concat_tables([divided(), pa.table(hated | times)])
    options = {"items": items, "item_features": ["kind"], "split": "none", **SMALL}
    recsys.train(events, tmp_path, events=EVENTS, **options)
    recommender = recsys.open(tmp_path)

    def new_ones(asked: Recommender) -> set[object]:
        found = asked.recommend(0, 20, new_items={"share": 0.5, "exploration": 0})
        pairs = zip(found.items, found.are_new, strict=True)
        return {one.item_id for one, is_new in pairs if is_new}

    assert new_ones(recommender) == {"fresh"}
    assert {one: recommender.explain(0, one).is_new_item for one in ("hated", "fresh", "a0")} == {
        "hated": False,
        "fresh": True,
        "a0": False,
    }
    content = open_version(tmp_path)
    listed = recommender.rows.recommend(0, recommender.rows.request(20))
    items_of = json.loads(ListWriter(content).text(listed))["items"]
    written = {one["item_id"]: "new_item" in one for one in items_of}
    assert (written["hated"], written["fresh"]) == (False, True)
    table = pq.read_table(recsys.versions(tmp_path)[0].folder / "items.parquet")
    dislikes = dict(zip(table["item_id"].to_pylist(), table["dislikes"].to_pylist(), strict=True))
    assert (dislikes["hated"], dislikes["fresh"], dislikes["a0"]) == (len(odd), 0, 0)

    more = pa.table({"item_id": ["loathed", "newest"], "kind": ["x", "y"]})
    first = {"user_id": [1, 2], "item_id": ["loathed", "a0"], "event": ["dislike", "view"]}
    log = read(pa.table(first | {"timestamp": [START, START]}))
    assert set(recommender.add_items(more, log)) == {"loathed", "newest"}
    assert new_ones(recommender) == {"fresh", "newest"}


def test_a_pair_of_which_nothing_is_left_explains_nothing(tmp_path: Path) -> None:
    """A view and a dislike of the same weight: seen, and no part of a score."""
    more = {"user_id": [0, 0], "item_id": ["a0", "a0"], "event": ["dislike", "view"]}
    events = pa.concat_tables([divided(), pa.table(more | {"timestamp": [START, START]})])
    viewed = pc.and_(pc.equal(events["user_id"], 0), pc.equal(events["item_id"], "a0"))
    events = events.filter(pc.invert(pc.and_(viewed, pc.greater(events["timestamp"], START))))
    recsys.train(events, tmp_path, events={"view": 1, "dislike": -1}, split="none", **SMALL)
    recommender = recsys.open(tmp_path)
    assert "a0" not in {one.item_id for one in recommender.recommend(0, 20).items}
    explained = recommender.explain(0, "b1")
    assert "a0" not in {one.item_id for one in explained.contributions}
    parts = sum(one.score for one in explained.contributions) + explained.rest
    assert parts == pytest.approx(explained.score)
