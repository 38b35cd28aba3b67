"""Items that are added to an open version, against a version that was published with them."""

import pickle
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError
from recsys.logs import read_log
from recsys.models import ALS, SVD, Distilled
from recsys.models.protocol import popularity_of
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.serving.with_more import ContentWithMore, More
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, Release, open_version, publish
from recsys.training import train
from recsys.vectors import Embeddings, Ids
from tests.serving.test_request import CONDITIONS, N_ITEMS, N_USERS, World
from tests.worlds import as_interactions, tastes

N_KNOWN = N_ITEMS - 30


def known_part(world: World, content: Any) -> Release:
    """Return what a version held before the last items came."""
    table = content.attributes.slice(0, N_KNOWN)
    seen = sp.csr_array(world.seen[:, :N_KNOWN])
    return Release(
        embeddings=Embeddings(world.users, world.items[:N_KNOWN]),
        users=content.users.ids,
        items=Ids(table["item_id"]),
        seen=seen,
        popularity=world.popularity[:N_KNOWN],
        model=ModelSpec("als", {"factors": world.items.shape[1]}),
        attributes=table,
    )


@pytest.fixture(scope="module")
def both(
    tmp_path_factory: pytest.TempPathFactory,
) -> tuple[World, Recommender, Recommender]:
    """A version with all items whose last ones nobody has, and one to which these were added."""
    folder = tmp_path_factory.mktemp("added")
    world = World(folder / "whole", "exact")
    whole = open_version(folder / "whole")
    world.seen = sp.csr_array(world.seen.multiply(np.arange(N_ITEMS) < N_KNOWN))
    world.seen.eliminate_zeros()
    world.popularity = popularity_of(world.seen)
    release = known_part(world, whole)
    publish(folder / "known", release, IndexSettings(kind="exact"))
    seen = sp.csr_array(world.seen)
    publish(
        folder / "all",
        replace(
            release,
            embeddings=Embeddings(world.users, world.items),
            items=Ids(whole.attributes["item_id"]),  # type: ignore[index]
            seen=seen,
            popularity=world.popularity,
            attributes=whole.attributes,
        ),
        IndexSettings(kind="exact"),
    )
    table = whole.attributes
    assert table is not None
    nobody = np.zeros(N_ITEMS - N_KNOWN, dtype=np.int64)
    more = More(table.slice(N_KNOWN), world.items[N_KNOWN:], nobody, nobody)
    content = ContentWithMore.after(open_version(folder / "known"), more)
    return world, open_store(folder / "all"), Recommender(content)


@settings(max_examples=25, deadline=None)
@given(
    user=st.integers(0, N_USERS - 1),
    k=st.integers(1, 40),
    asked=st.fixed_dictionaries(
        {},
        optional={
            "where": st.sampled_from(list(CONDITIONS)),
            "exclude": st.lists(st.integers(0, N_ITEMS - 1).map("i{}".format), max_size=20),
            "candidates": st.lists(st.integers(0, N_ITEMS - 1).map("i{}".format), max_size=60),
            "max_per": st.just("color:3"),
            "diversity": st.just(0.3),
            "boost": st.just([{"where": "price < 20", "times": 2.0}]),
            "pin": st.just([{"position": 2, "item_id": f"i{N_ITEMS - 1}"}]),
            "new_items": st.just({"share": 0.2, "exploration": 0}),
        },
    ),
)
def test_lists_are_those_of_a_version_with_all_items(both, user: int, k: int, asked: Any) -> None:
    _, expected, added = both
    lists = [one.recommend(f"u{user}", k, **asked) for one in (expected, added)]
    assert [one.item_id for one in lists[1]] == [one.item_id for one in lists[0]]
    assert lists[1].are_new == lists[0].are_new
    (of_many,) = added.recommend_many([f"u{user}"], k, **asked)
    assert [one.item_id for one in of_many] == [one.item_id for one in lists[0]]


def test_all_else_knows_them(both) -> None:
    _, expected, added = both
    new = f"i{N_ITEMS - 2}"
    asked = {
        "similar": lambda one: [item.item_id for item in one.similar_items("i3", 50)],
        "to new": lambda one: [item.item_id for item in one.similar_items(new, 20)],
        "described": lambda one: one.describe(new),
        "history": lambda one: one.recommend_for_history(["i3"], 30).items[0].item_id,
        "explained": lambda one: [part.item_id for part in one.explain("u2", new).contributions],
        "popular": lambda one: [item.item_id for item in one.top_items("popular", N_ITEMS)],
        "found": lambda one: one.find(new, 1)[0].item_id,
        "vector": lambda one: one.item_vectors[new].values.tolist(),
    }
    for name, ask in asked.items():
        assert ask(added) == ask(expected), name
    assert added.explain("u2", new).is_new_item
    again = pickle.loads(pickle.dumps(added))  # noqa: S301
    assert again.recommend("u2", 50).items == added.recommend("u2", 50).items


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any]:
    """A version of all items but i39, which ten users of its taste have."""
    log = tastes(n_users=80, per_user=8)
    kept = log.select(log.item_idx != 39).compact()
    user_items = kept.user_items()
    model = ALS(factors=4, iterations=5)
    store = tmp_path_factory.mktemp("trained")
    release = Release(
        embeddings=model.fit(kept),
        users=kept.users,
        items=kept.items,
        seen=user_items,
        popularity=popularity_of(user_items),
        model=ModelSpec("als", {"factors": 4, "iterations": 5}),
    )
    publish(store, release, IndexSettings(kind="exact"))
    return store, log.select(log.item_idx == 39)


def test_first_users_give_a_new_item_its_vector(trained) -> None:
    store, events = trained
    recommender = open_store(store)
    table = pa.table({"item_id": ["i39", "i1"], "title": ["The last one", "one that is there"]})
    own = [f"u{user}" for user in range(3, 80, 4)]
    before = recommender.recommend(own[0], 5)
    assert recommender.add_items(table, events) == ["i39"]
    lists = recommender.recommend_many([f"u{user}" for user in range(80)], 10)
    with_it = [user for user, found in enumerate(lists) if "i39" in [one.item_id for one in found]]
    assert sum(user % 4 == 3 for user in with_it) > 15 > 5 > sum(user % 4 != 3 for user in with_it)
    assert recommender.describe("i39") == {"title": "The last one"}
    assert recommender.find("last", 1)[0].item_id == "i39"
    assert recommender.version == before.version
    assert not recommender.recommend(own[1], 10).are_new[0]
    assert recommender.add_items(table.slice(1)) == []


def test_a_new_item_of_a_distilled_model_counts_in_a_history(tmp_path: Path) -> None:
    """Users are sums of what items add: of a new one, what known items of its attributes add."""
    log = tastes(n_users=80, per_user=8)
    table = pa.table(
        {"item_id": [f"i{n}" for n in range(44)], "taste": [f"t{n % 4}" for n in range(44)]}
    )
    model = Distilled(8, teacher=SVD(8), iterations=4)
    known = log.select(log.item_idx < 36).compact()
    options = {"split": "none", "gates": {"enabled": False}, "item_features": ["taste"]}
    train(known, tmp_path, model=model, items=table.slice(0, 40), **options)
    recommender = open_store(tmp_path)
    assert recommender.add_items(table) == ["i40", "i41", "i42", "i43"]
    for new in ("i38", "i42"):  # in the version, and in the process
        found = recommender.recommend_for_history([new], 5)
        assert found.source == "fold_in"
        assert {int(str(one.item_id)[1:]) % 4 for one in found} == {2}
        why = recommender.explain_for_history([new, "i1"], "i2")
        assert dict(why.parts)[new] > dict(why.parts)["i1"]
    events = read_log(pa.table({"user_id": ["u2", "u6"], "item_id": ["i50", "i50"]}))
    assert recommender.add_items(pa.table({"item_id": ["i50"]}), events) == ["i50"]  # no taste
    encoded = pa.array(["t1"]).dictionary_encode()
    assert recommender.add_items(pa.table({"item_id": [51], "taste": encoded})) == [
        "51"
    ]  # as its own are spelled
    assert recommender.describe(51) == {"taste": "t1"}
    with pytest.raises(DataError, match="column 'taste': expected string, as the version has it"):
        recommender.add_items(pa.table({"item_id": ["i52"], "taste": [["t1"]]}))


def test_items_of_which_nothing_is_known_are_refused(trained) -> None:
    recommender = open_store(trained[0])
    with pytest.raises(
        DataError, match="add_items: expected attributes that the model .* got neither"
    ):
        recommender.add_items(pa.table({"item_id": ["new"]}), as_interactions(sp.eye_array(3)))
    with pytest.raises(DataError, match="events: expected Interactions, as read_log .* got bool"):
        recommender.add_items(pa.table({"item_id": ["new"]}), True)  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def of_integers(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A version of a log of integers, whose model knows a column of lists and a price."""
    store, kinds = tmp_path_factory.mktemp("integers"), ("drama", "comedy", "war", "crime")
    log = tastes(n_users=80, per_user=8)
    events = pa.table({"user_id": log.user_idx, "item_id": log.item_idx + 100})
    ids = np.arange(40) + 100
    table = {"item_id": ids, "genres": [[kinds[one % 4]] for one in ids], "price": ids / 7}
    train(
        events,
        store,
        items=pa.table(table),
        item_features=["genres", "price"],
        model=ALS(4, iterations=4),
        split="none",
        gates={"enabled": False},
    )
    return store


@pytest.mark.parametrize("ids", [[7, 8], ["7", "8"], [7.0, 8.0], pa.array(["7", "8", None])])
def test_ids_of_new_items_are_spelled_as_the_version_spells_its_own(of_integers: Path, ids) -> None:
    recommender = open_store(of_integers)
    prices = pa.array([1.0, 2.0, 3.0][: len(ids)])
    assert recommender.add_items(pa.table({"item_id": ids, "price": prices})) == [7, 8]
    assert {type(one.item_id) for one in recommender.recommend(0, 50)} == {int}


def test_another_spelling_of_a_number_is_another_id(of_integers: Path) -> None:
    recommender = open_store(of_integers)
    table = pa.table({"item_id": ["0101", "101"], "price": [1.0, 2.0]})
    assert recommender.add_items(table) == ["0101"]
    found = recommender.recommend(0, 50)
    assert {type(one.item_id) for one in found} == {str}
    assert len(found) == len({one.item_id for one in found})


def test_a_column_that_a_new_item_lacks_is_not_known(of_integers: Path) -> None:
    """Also one of lists, which no text is; a row without any value is not added."""
    recommender = open_store(of_integers)
    assert recommender.add_items(pa.table({"item_id": [7], "price": [3.0]})) == [7]
    assert recommender.describe(7) == {"genres": None, "price": 3.0}
    with pytest.raises(DataError, match="add_items: expected attributes that the model"):
        recommender.add_items(pa.table({"item_id": [9]}))
    with pytest.raises(DataError, match="column 'genres': expected list<.*as the version has it"):
        recommender.add_items(pa.table({"item_id": [9], "genres": ["drama"]}))
