"""Answers of a recommender, against a twin that ranks the whole catalogue."""

from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import DataError, RecsysError, UnknownItemError, UnknownUserError
from recsys.models import ALS, SVD, Popularity, parameters_of
from recsys.models.protocol import popularity_of
from recsys.serving import Recommender, ScoredItem
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, Release, publish
from recsys.vectors import Embeddings, Ids
from tests.store.releases import ODD_IDS, small_release
from tests.worlds import checkerboard, tastes

INDEXES = {
    "exact": IndexSettings(kind="exact"),
    "annoy": IndexSettings(kind="annoy", target_recall=1.0, trees=3),
}


def published(tmp_path: Path, release: Release, index: str = "annoy") -> Recommender:
    publish(tmp_path, release, INDEXES[index])
    return open_store(tmp_path)


def trained(model, log) -> Release:
    user_items = log.user_items()
    return Release(
        embeddings=model.fit(user_items),
        users=log.users,
        items=log.items,
        seen=user_items,
        popularity=popularity_of(user_items),
        model=ModelSpec(model.name, parameters_of(model)),
    )


def ranked(scores, k: int, left_out=()) -> list[tuple[int, float]]:
    """The twin: sort the whole catalogue by score, then by row."""
    rows = [row for row in range(len(scores)) if row not in set(left_out)]
    rows.sort(key=lambda row: (-float(scores[row]), row))
    return [(row, float(scores[row])) for row in rows[:k]]


def as_rows(found) -> list[tuple[int, float]]:
    return [(int(str(item_id).removeprefix("i")), score) for item_id, score in found]


@given(
    seed=st.integers(0, 10**6),
    n_items=st.integers(1, 300),
    factors=st.integers(1, 5),
    density=st.sampled_from([0.0, 0.03, 0.5, 1.0]),
    k=st.integers(1, 40),
    index=st.sampled_from(list(INDEXES)),
    include_seen=st.booleans(),
)
@settings(max_examples=60, deadline=None)
def test_recommend_is_the_twin(
    tmp_path_factory, seed, n_items, factors, density, k, index, include_seen
) -> None:
    rng = np.random.default_rng(seed)
    n_users = 6
    seen = sp.random_array((n_users, n_items), density=density, rng=rng, format="csr")
    items = rng.integers(-3, 4, (n_items, factors)).astype(np.float32)
    users = rng.integers(-1, 2, (n_users, factors)).astype(np.float32)
    release = small_release(
        n_users,
        n_items,
        embeddings=Embeddings(users, items),
        seen=seen,
        popularity=popularity_of(seen),
    )
    recommender = published(tmp_path_factory.mktemp("store"), release, index)
    for row in range(n_users):
        found = recommender.recommend(f"u{row}", k, include_seen=include_seen)
        left_out = [] if include_seen else np.flatnonzero(seen.toarray()[row]).tolist()
        scores = items @ users[row] if users[row].any() else release.popularity
        expected = ranked(scores, k, left_out)
        assert found.source == ("personal" if users[row].any() else "popular")
        if index == "exact" or found.source == "popular":
            assert as_rows(found) == expected
        else:  # which of two equal items is found is up to the forest
            assert [score for _, score in found] == [score for _, score in expected]
            rows = [row for row, _ in as_rows(found)]
            assert len(set(rows)) == len(rows)
            assert not set(rows) & set(left_out)
            assert [score for _, score in found] == [float(scores[row]) for row in rows]


@pytest.mark.parametrize("index", INDEXES)
def test_the_checkerboard_is_solved(tmp_path: Path, index: str) -> None:
    """Each user has one item left that is to their taste: the one with their own number."""
    n = 40
    user_items = checkerboard(n)
    model = ALS(factors=4, iterations=10)
    release = Release(
        embeddings=model.fit(user_items),
        users=Ids(range(n)),
        items=Ids(range(n)),
        seen=user_items,
        popularity=popularity_of(user_items),
        model=ModelSpec("als", parameters_of(model)),
    )
    recommender = published(tmp_path, release, index)
    for user in range(n):
        assert recommender.recommend(user, 1)[0].item_id == user
        found = recommender.recommend(str(user), n)
        assert len(found) == n - (n // 2 - 1)  # what is left of the catalogue, no padding


@pytest.mark.parametrize("model", [ALS(factors=6), SVD(factors=6), Popularity()])
def test_folding_in_a_training_history_is_the_personal_list(tmp_path: Path, model) -> None:
    log = tastes()
    recommender = published(tmp_path, trained(model, log), "exact")
    user_items = log.user_items()
    for row in (0, 7, 59):
        history = [f"i{item}" for item in user_items[[row]].indices]
        weights = user_items[[row]].data.tolist()
        found = recommender.recommend_for_history(history, 10, weights=weights)
        personal = recommender.recommend(f"u{row}", 10)
        assert (found.source, personal.source) == ("fold_in", "personal")
        found_scores = [score for _, score in found]
        np.testing.assert_allclose(found_scores, [s for _, s in personal], rtol=1e-3, atol=1e-4)
        assert not {item_id for item_id, _ in found} & set(history)


def test_histories_in_other_words(tmp_path: Path) -> None:
    recommender = published(tmp_path, trained(SVD(factors=4), tastes()), "exact")
    once = recommender.recommend_for_history(["i1", "i5"], 5, weights=[2, 1])
    repeated = recommender.recommend_for_history(iter(["i5", "i1", "no such", "i1"]), 5)
    assert repeated.items == once.items
    with_own = recommender.recommend_for_history(["i1", "i5"], 40, include_seen=True)
    assert len(with_own) == 40
    assert {"i1", "i5"} <= {item_id for item_id, _ in with_own}
    assert len(recommender.recommend_for_history(["i1", "i5"], 40)) == 38


def test_a_history_without_a_signal_gets_the_popular_list(tmp_path: Path) -> None:
    vectors = Embeddings(np.ones((12, 4), np.float32), np.zeros((30, 4), np.float32))
    recommender = published(tmp_path, small_release(embeddings=vectors))
    found = recommender.recommend_for_history(["i3"], 30)
    assert found.source == "popular"
    assert len(found) == 29
    assert "i3" not in {item_id for item_id, _ in found}


@pytest.mark.parametrize(
    ("history", "options", "error", "expected"),
    [
        ([], {}, DataError, "at least one item, got none"),
        ("i1", {}, DataError, "expected a list of ids, got 'i1'"),
        ([None], {}, DataError, "expected a string or an integer, got None"),
        (["i1x"], {}, UnknownItemError, "item 'i1x': not among the 30 items of version [^;]*$"),
        (["i1", "j2"], {"on_unknown": "raise"}, UnknownItemError, "item 'j2'"),
        (["i1"], {"on_unknown": "maybe"}, DataError, "on_unknown"),
        (["i1"], {"weights": [1, 2]}, DataError, "one for each of 1 items, got 2"),
        (["i1"], {"weights": [0]}, DataError, "above 0"),
        (["i1"], {"weights": [float("nan")]}, DataError, "finite"),
        (["i1"], {"weights": [1e30]}, DataError, r"weights: expected numbers from 1e-06 to 1e\+06"),
        (["i1", "i1"], {"weights": [6e5, 6e5]}, DataError, r"got 1\.2e\+06 to 1\.2e\+06"),
        (["i1"], {"weights": [1e-30]}, DataError, "use the unit of the log"),
        (["i1"], {"weights": ["heavy"]}, DataError, "list of numbers"),
        (["i1"], {"k": 0}, DataError, "k: expected at least 1, got 0"),
    ],
)
def test_histories_that_cannot_be_used(
    recommender: Recommender, history, options, error, expected: str
) -> None:
    with pytest.raises(error, match=expected):
        recommender.recommend_for_history(history, **options)


@pytest.fixture(scope="module")
def release() -> Release:
    return small_release()


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory, release: Release) -> Recommender:
    return published(tmp_path_factory.mktemp("store"), release)


def test_an_unknown_user_gets_the_popular_list(recommender: Recommender, release: Release) -> None:
    found = recommender.recommend("nobody", 7)
    assert found.source == "popular"
    assert as_rows(found) == ranked(release.popularity, 7)


def test_an_unknown_user_can_be_an_error(recommender: Recommender) -> None:
    with pytest.raises(UnknownUserError, match="user 'nobody': not among the 12 users") as caught:
        recommender.recommend("nobody", on_unknown="raise")
    assert isinstance(caught.value, LookupError)
    assert len(recommender.recommend("u3", on_unknown="raise")) == 10


@pytest.mark.parametrize("k", [0, -1, True, 2.5, "10", None])
def test_a_k_that_is_no_length(recommender: Recommender, k) -> None:
    for ask in (recommender.recommend, recommender.similar_items):
        with pytest.raises(DataError, match="k: expected"):
            ask("i1", k)


@pytest.mark.parametrize("id_", [None, 2.5, True, b"u1", ["u1"]])
def test_an_id_that_is_none(recommender: Recommender, id_) -> None:
    asks = (recommender.recommend, recommender.similar_items, recommender.describe)
    for ask in asks:
        with pytest.raises(DataError, match="_id: expected a string or an integer"):
            ask(id_)


def test_an_on_unknown_that_is_none(recommender: Recommender) -> None:
    with pytest.raises(DataError, match="on_unknown: expected"):
        recommender.recommend("u1", on_unknown="guess")  # type: ignore[arg-type]


def test_a_k_above_the_catalogue(recommender: Recommender, release: Release) -> None:
    for row in range(12):
        found = recommender.recommend(f"u{row}", 10**9)
        assert len(found) == 30 - int(np.diff(release.seen.indptr)[row])


def test_a_user_who_has_seen_everything(tmp_path: Path) -> None:
    seen = sp.csr_array(np.ones((12, 30)))
    recommender = published(tmp_path, small_release(seen=seen))
    assert len(recommender.recommend("u1")) == 0
    assert len(recommender.recommend("u1", include_seen=True)) == 10


@pytest.mark.parametrize("index", INDEXES)
def test_odd_ids_work_throughout(tmp_path: Path, index: str) -> None:
    release = small_release(
        10, 10, user_ids=ODD_IDS, item_ids=ODD_IDS, seen=sp.csr_array(np.eye(10))
    )
    recommender = published(tmp_path, release, index)
    for id_ in ODD_IDS:
        found = recommender.recommend(id_, 20)
        assert len(found) == 9
        assert id_ not in {item.item_id for item in found}
        assert recommender.describe(id_) == {"title": f"Title {ODD_IDS.index(id_)}"}
        assert recommender.recommend_for_history([id_], 3).version == recommender.version
        recommender.similar_items(id_)
        recommender.closest_seen(id_, ODD_IDS[0])
    assert recommender.recommend("7").source == "popular"  # "07" is another user


def test_integer_ids_in_either_form(tmp_path: Path) -> None:
    recommender = published(
        tmp_path, small_release(user_ids=list(range(100, 112)), item_ids=list(range(30)))
    )
    assert recommender.recommend(103) == recommender.recommend("103")
    assert recommender.recommend(np.int64(103)) == recommender.recommend(103)
    assert recommender.similar_items(5) == recommender.similar_items("5")
    for stranger in ("+103", "0103", " 103", "9" * 10_000, -1, 2**80, "", "٣"):
        assert recommender.recommend(stranger).source == "popular"


def test_similar_items_are_the_twin(recommender: Recommender, release: Release) -> None:
    items = release.embeddings.items.astype(np.float64)
    norms = np.linalg.norm(items, axis=1)
    for row in range(30):
        found = recommender.similar_items(f"i{row}", 100)
        if norms[row] == 0:
            assert len(found) == 0
            continue
        others = np.flatnonzero((norms > 0) & (np.arange(30) != row))
        cosines = items[others] @ items[row] / norms[others] / norms[row]
        assert {item for item, _ in as_rows(found)} == set(others.tolist())
        by_row = dict(zip(others.tolist(), cosines.tolist(), strict=True))
        for item, score in as_rows(found):
            assert score == pytest.approx(by_row[item], abs=1e-6)
        scores = [score for _, score in found]
        assert scores == sorted(scores, reverse=True)
        assert found.source == "similar"
        assert recommender.similar_items(f"i{row}", 3).items == found.items[:3]


def test_closest_seen_is_the_twin(recommender: Recommender, release: Release) -> None:
    items = release.embeddings.items.astype(np.float64)
    norms = np.linalg.norm(items, axis=1)
    checked = 0
    for row in range(12):
        for item in range(30):
            found = recommender.closest_seen(f"u{row}", f"i{item}")
            seen = [s for s in release.seen[[row]].indices if s != item and norms[s] > 0]
            if norms[item] == 0 or not seen:
                assert found is None
                continue
            best = max(items[s] @ items[item] / norms[s] / norms[item] for s in seen)
            assert isinstance(found, ScoredItem)
            assert found.item_id in {f"i{s}" for s in seen}
            assert found.score == pytest.approx(best, abs=1e-6)
            checked += 1
    assert checked > 100


def test_closest_seen_of_nobody(recommender: Recommender) -> None:
    with pytest.raises(UnknownUserError):
        recommender.closest_seen("nobody", "i1")
    with pytest.raises(UnknownItemError):
        recommender.closest_seen("u1", "nothing")


def test_describe(tmp_path: Path, recommender: Recommender) -> None:
    assert recommender.describe("i7") == {"title": "Title 7"}
    with pytest.raises(UnknownItemError, match="item 'i77': not among the 30 items of version"):
        recommender.describe("i77")
    assert published(tmp_path, small_release(titles=False)).describe("i7") == {}


def test_a_long_unknown_id_is_not_repeated_in_full(recommender: Recommender) -> None:
    with pytest.raises(RecsysError) as caught:
        recommender.describe("x" * 10_000)
    assert len(str(caught.value)) < 300
