"""Conditions, exclusions and long lists cost no quality: the lists are those of a sort of all."""

import json
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.index import (
    LONG,
    SHORT,
    Allowed,
    IndexSummary,
    PlainIndex,
    Sample,
    Searcher,
    build_index,
    load_index,
)
from recsys.index.forest import FOREST, build_forest, open_forest
from recsys.index.measurement import LENGTHS, HardQueries, most_excluded
from recsys.index.quantized import encode_items
from recsys.settings import IndexSettings
from tests.index.test_search import NOTHING, random_world, slow_search

POOR = {SHORT: 1, LONG: 1}  # candidates: a forest that finds next to nothing
UP_TO_20 = {SHORT: 20, LONG: 20}  # exclusions
KINDS = ["popular barred", "unpopular barred", "at random", "all but one", "exclusions", "none"]


def poor_index(items, folder: Path, head: float = 0.1) -> Searcher | None:
    codes = encode_items(items)
    n_head = int(head * len(items)) // 16 * 16
    if not build_forest(items, codes, folder / FOREST, n_head=n_head, trees=1, seed=0):
        return None
    return Searcher(items, codes, open_forest(folder / FOREST, *items.shape), POOR, UP_TO_20)


def mask_of(kind: str, items, rng: np.random.Generator):
    by_norm = np.argsort(-np.linalg.norm(items, axis=1), kind="stable")
    is_allowed = np.ones(len(items), dtype=np.bool_)
    if kind == "popular barred":
        is_allowed[by_norm[: int(rng.uniform(0.02, 0.9) * len(items)) + 1]] = False
    elif kind == "unpopular barred":
        is_allowed[by_norm[int(rng.uniform(0.02, 0.9) * len(items)) :]] = False
    elif kind == "at random":
        is_allowed &= rng.random(len(items)) < rng.choice([0.01, 0.1, 0.5, 0.95])
    elif kind == "all but one":
        is_allowed[rng.integers(len(items))] = False
    return is_allowed


@given(
    st.integers(0, 10**6),
    st.integers(100, 900),
    st.integers(1, 5),
    st.lists(
        st.tuples(
            st.sampled_from([1, 10, 20, 21, 100, 101, 400, 900, 10**6]),
            st.sampled_from(KINDS),
            st.sampled_from([21, 100, 500]),
        ),
        min_size=6,
        max_size=6,
    ),
)
@settings(max_examples=25, deadline=None)
def test_lists_under_conditions_are_the_twins(
    tmp_path_factory, seed, n_items, factors, asked
) -> None:
    """With the poorest forest: whatever kind was not measured is exact, to the last bit."""
    items, user, rng = random_world(seed, n_items, factors)
    index = poor_index(items, tmp_path_factory.mktemp("forest"))
    if index is None:
        return
    for k, kind, n_excluded in asked:
        is_allowed = mask_of(kind, items, rng)
        best = slow_search(items, user, n_excluded if kind == "exclusions" else 0, NOTHING)[0]
        exclude = np.array(best, dtype=np.int32)  # those that were shown already
        length = max(k, LONG + 1) if kind == "none" else k
        rows, scores = index.search(user, length, exclude, index.allow(is_allowed))
        if kind != "exclusions" or len(exclude) > 20:
            twin = slow_search(items, user, length, exclude, is_allowed)
            assert (rows.tolist(), scores.tolist()) == twin


@given(st.integers(0, 10**6), st.integers(60, 400), st.sampled_from([5, 50, 150]))
@settings(max_examples=20, deadline=None)
def test_many_users_get_what_each_alone_gets(tmp_path_factory, seed, n_items, k) -> None:
    """Users with few exclusions and with many, mixed: each is searched for as alone."""
    items, _, rng = random_world(seed, n_items, 4)
    index = poor_index(items, tmp_path_factory.mktemp("forest"))
    if index is None:
        return
    users = rng.integers(-2, 3, (12, 4)).astype(np.float32)
    seen = [
        rng.choice(n_items, rng.choice([0, 3, 20, 21, 50]), replace=False).astype(np.int32)
        for _ in users
    ]
    starts = np.concatenate(([0], np.cumsum([len(one) for one in seen])))
    is_allowed = np.ones(n_items, dtype=np.bool_)
    for allowed in (None, index.allow(is_allowed), index.allow(rng.random(n_items) < 0.6)):
        rows, scores = index.search_many(users, k, starts, np.concatenate(seen), allowed)
        for number, user in enumerate(users):
            found, best = index.search(user, k, seen[number], allowed)
            assert rows[number, : len(found)].tolist() == found.tolist()
            assert scores[number, : len(found)].tolist() == best.tolist()
            assert (rows[number, len(found) :] == -1).all()


@pytest.fixture(scope="module")
def world():
    """Norms as those of trained items: few are large, and lists come from these."""
    rng = np.random.default_rng(5)
    items = rng.standard_normal((6000, 24)) * rng.lognormal(0, 0.5, (6000, 1))
    users = rng.standard_normal((120, 24)).astype(np.float32)
    seen = [rng.choice(6000, rng.integers(1, 60), replace=False).astype("i4") for _ in users]
    return items.astype(np.float32), Sample(users, seen)


@pytest.fixture(scope="module")
def built(tmp_path_factory, world) -> tuple[Searcher, IndexSummary]:
    items, sample = world
    folder = tmp_path_factory.mktemp("index")
    summary = build_index(items, sample, IndexSettings(trees=5), folder)
    index = load_index(items, folder, summary)
    assert isinstance(index, Searcher)
    return index, summary


def recall(index: Searcher, items, users, k: int, exclude, allowed) -> float:
    is_allowed = PlainIndex(items).allow(allowed)
    n_found = n_best = 0
    for user in users:
        excluded = exclude(user)
        best = PlainIndex(items).search(user, k, excluded, is_allowed)[0]
        found = index.search(user, k, excluded, index.allow(allowed))[0]
        n_found += len(np.intersect1d(found, best))
        n_best += len(best)
    return n_found / n_best


def test_where_only_small_items_are_allowed(world, built) -> None:
    """The forest, asked for these, found a few of them, though it meets its target otherwise."""
    (items, sample), (index, summary) = world, built
    assert summary.kind == "annoy"
    assert summary.recall[SHORT] >= 0.98
    is_small = np.zeros(len(items), dtype=np.bool_)
    is_small[index.codes.row[len(items) // 2 :]] = True
    mask = index.allow(is_small)
    asked = Allowed(mask.mask, mask.n, is_all=True)  # as if nothing were barred
    best = [
        set(PlainIndex(items).search(u, 10, NOTHING, mask_plain(is_small))[0].tolist())
        for u in sample.users
    ]
    by_forest = [set(index.search(u, 10, NOTHING, asked)[0].tolist()) for u in sample.users]
    assert np.mean([len(a & b) / 10 for a, b in zip(by_forest, best, strict=True)]) < 0.4
    assert recall(index, items, sample.users, 10, lambda user: NOTHING, is_small) == 1


def mask_plain(is_allowed) -> Allowed:
    return Allowed(is_allowed, int(is_allowed.sum()))


@pytest.mark.parametrize("k", [1, 10, 20, 50, 100, 1000])
@pytest.mark.parametrize("n", [0, 20, 100, 500])
def test_what_was_shown_already_is_excluded_without_a_loss(world, built, k: int, n: int) -> None:
    (items, _), (index, _) = world, built
    users = np.random.default_rng(9).standard_normal((60, 24)).astype(np.float32)
    everything = np.ones(len(items), dtype=np.bool_)

    def shown(user):
        return PlainIndex(items).search(user, n, NOTHING)[0] if n else NOTHING

    assert recall(index, items, users, k, shown, everything) >= 0.97  # the target, for 60 users


def test_the_manifest_keeps_what_was_measured(built) -> None:
    _, summary = built
    assert summary.forest.conditions.keys() == {
        *("all_items", "popular_barred", "unpopular_barred", "tenth_at_random"),
        *("hundredth_at_random", "best_20_excluded", "best_100_excluded", "best_500_excluded"),
        "long_histories",
    }
    for name, by_length in summary.forest.conditions.items():
        assert tuple(by_length) == LENGTHS, name
        assert min(by_length.values()) >= 0.97, name
    assert IndexSummary.from_dict(json.loads(json.dumps(summary.to_dict()))) == summary


def test_an_index_of_a_release_that_measured_no_conditions_is_scanned(
    tmp_path: Path, world
) -> None:
    items, sample = world
    content = build_index(items, sample, IndexSettings(trees=5), tmp_path).to_dict()
    del content["most_excluded"], content["conditions"]
    index = load_index(items, tmp_path, IndexSummary.from_dict(content))
    index.search(sample.users[0], LONG, NOTHING)
    assert index.last_work()[4] == 0  # nodes of the forest
    assert (
        recall(
            index, items, sample.users, LONG, lambda user: NOTHING, np.ones(len(items), np.bool_)
        )
        == 1
    )


def test_a_forest_is_asked_up_to_the_exclusions_that_it_bears(tmp_path: Path, world) -> None:
    """A forest that finds everything bears all; a poor one none, nor one that nobody measured."""
    items, sample = world
    assert poor_index(items, tmp_path, head=0.0) is not None
    exact = Searcher.of(items)
    hard, nobody = HardQueries(exact, sample), Sample(sample.users[:0], [])
    assert most_excluded(SHORT, exact, hard, 0.98) == len(items)
    forest = open_forest(tmp_path / FOREST, *items.shape)
    unlimited = Searcher(items, exact.codes, forest, {SHORT: 100, LONG: 200})
    everything = unlimited.with_limits(dict.fromkeys((SHORT, LONG), len(items)))
    for k in (SHORT, LONG):
        assert most_excluded(k, everything, hard, 0.98) == 500
        assert most_excluded(k, unlimited, hard, 0.98) == -1
        assert most_excluded(k, everything, HardQueries(exact, nobody), 0.98) == -1
    assert most_excluded(SHORT, unlimited, hard, 0.01) >= 0


def test_by_cosine_zeros_may_be_barred(tmp_path: Path) -> None:
    """To bar items without a direction is no condition: the forest is asked as before."""
    items = np.random.default_rng(0).standard_normal((500, 4)).astype(np.float32)
    items[::7] = 0
    has_direction = items.any(axis=1)
    for cosine in (True, False):
        index = Searcher.of(items, cosine=cosine)
        assert index.allow(has_direction).is_all is cosine
        assert index.allow(np.ones(500, np.bool_)).is_all
        assert not index.allow(has_direction & (np.arange(500) != 1)).is_all
