"""Every index against a twin that sorts every item."""

import _ctypes
import shutil
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import CorruptVersionError
from recsys.index import LONG, SHORT, Index, PlainIndex, Searcher, compiled
from recsys.index.clusters import cluster_items
from recsys.index.forest import FOREST, build_forest, open_forest
from recsys.index.quantized import encode_items, open_codes, write_codes

EVERYTHING = {SHORT: 10**6, LONG: 10**6}
NOTHING = np.empty(0, np.int32)


def slow_search(items, user, k, exclude, allowed=None):
    """Sort all items by score, then by row; indexes must agree to the last bit."""
    left = [row for row in range(len(items)) if row not in set(exclude.tolist())]
    if allowed is not None:
        left = [row for row in left if allowed[row]]
    scores = {row: float(items[row].astype(np.float64) @ user) for row in left}
    best = sorted(left, key=lambda row: (-scores[row], row))[:k]
    return best, [scores[row] for row in best]


def random_world(seed: int, n_items: int, factors: int):
    """Embeddings of small whole numbers, whose dot products float32 holds without rounding."""
    rng = np.random.default_rng(seed)
    items = rng.integers(-3, 4, (n_items, factors)) * rng.choice([0, 1, 1, 5], (n_items, 1))
    return items.astype(np.float32), rng.integers(-2, 3, factors).astype(np.float32), rng


def annoy_index(items, folder: Path, *, head: float, trees: int, search_k: int) -> Searcher:
    """Build codes and forest as calibration does; a head of some share, in whole blocks."""
    codes = encode_items(items)
    write_codes(codes, folder)
    n_head = int(head * len(items)) // 16 * 16
    assert build_forest(items, codes, folder / FOREST, n_head=n_head, trees=trees, seed=0)
    return opened(items, folder, {SHORT: search_k, LONG: search_k})


def opened(items, folder: Path, search_k: dict[int, int]) -> Searcher:
    forest = open_forest(folder / FOREST, *items.shape)
    return Searcher(items, open_codes(folder, *items.shape), forest, search_k)


def agrees(index: Index, items, user, k, exclude, allowed=None) -> None:
    mask = None if allowed is None else index.allow(allowed)
    rows, scores = index.search(user, k, exclude, mask)
    assert rows.dtype == np.int32
    assert scores.dtype == np.float32
    assert (rows.tolist(), scores.tolist()) == slow_search(items, user, k, exclude, allowed)


def clustered(items, *, cosine: bool = False) -> Searcher:
    """Return an exact search of items in clusters, however few there are."""
    factor = encode_items(items, cosine=True).factor if cosine else None
    codes, clusters = cluster_items(items, factor, 0)
    return Searcher(items, codes, clusters=clusters)


@given(
    st.integers(0, 10**6),
    st.integers(1, 900),
    st.integers(1, 20),
    st.integers(1, 60),
    st.sampled_from([Searcher.of, PlainIndex, clustered]),
    st.data(),
)
@settings(max_examples=250, deadline=None)
def test_exact_is_the_twin(seed, n_items, factors, k, kind, data) -> None:
    items, user, rng = random_world(seed, n_items, factors)
    n_excluded = data.draw(st.integers(0, n_items))
    exclude = rng.choice(n_items, n_excluded, replace=False).astype(np.int32)
    allowed = None
    if data.draw(st.booleans()):
        allowed = rng.random(n_items) < data.draw(st.sampled_from([0.0, 0.01, 0.3, 1.0]))
    agrees(kind(items), items, user, k, exclude, allowed)


@pytest.fixture(params=["vnni", "plain"])
def instructions(request) -> Iterator[None]:
    """Scan by the one instruction for products of bytes, and by those of every processor."""
    if bool(compiled.library.use_vnni(request.param == "vnni")) != (request.param == "vnni"):
        pytest.skip("this processor has no AVX512-VNNI")
    yield
    compiled.library.use_vnni(1)


@pytest.mark.parametrize("factors", [1, 3, 64, 130])
@pytest.mark.parametrize("k", [1, 20, 500, 5000])
@pytest.mark.usefixtures("instructions")
def test_no_item_is_lost_to_rounding(factors: int, k: int) -> None:
    """Vectors of no special numbers, and norms that end the scan early: the list of float64."""
    rng = np.random.default_rng(factors)
    items = (rng.standard_normal((4000, factors)) * rng.lognormal(0, 1, (4000, 1))).astype("f4")
    index = Searcher.of(items)
    for user in rng.standard_normal((30, factors)).astype(np.float32):
        found, scores = index.search(user, k, NOTHING)
        exact = items.astype(np.float64) @ user
        best = np.sort(exact)[::-1][: len(found)]
        assert len(found) == len(set(found.tolist())) == min(k, 4000)
        np.testing.assert_allclose(scores, best, rtol=1e-5, atol=1e-5 * np.abs(exact).max())
        np.testing.assert_allclose(exact[found], best, rtol=1e-5, atol=1e-5 * np.abs(exact).max())


def test_codes_are_as_far_from_the_items_as_they_say() -> None:
    rng = np.random.default_rng(0)
    items = (rng.standard_normal((1000, 7)) * rng.lognormal(0, 2, (1000, 1))).astype(np.float32)
    codes = encode_items(items)
    norms = np.linalg.norm(items.astype(np.float64), axis=1)[codes.row]
    assert (np.diff(norms) <= 0).all()
    assert (codes.row[codes.position] == np.arange(1000)).all()
    numbers = codes.codes[:, :-1].copy().view(np.uint8).reshape(-1, 2, 16, 4)
    whole = numbers.transpose(0, 2, 1, 3).reshape(-1, 8)[:1000, :7].astype(np.float64) - 128
    decoded = whole * codes.codes[:, -1].copy().view(np.float32).reshape(-1, 1)[:1000]
    errors = np.linalg.norm(decoded - items[codes.row], axis=1)
    block = np.arange(1000) // 16
    assert (norms <= codes.bounds[0][block]).all()
    assert (errors <= codes.bounds[1][block]).all()
    assert (errors <= 0.03 * norms + 1e-12).all()


@given(st.integers(0, 10**6), st.integers(1, 300), st.integers(1, 6), st.integers(1, 40))
@settings(max_examples=50, deadline=None)
def test_by_cosine_every_vector_has_length_one(seed, n_items, factors, k) -> None:
    items, user, _ = random_world(seed, n_items, factors)
    found, scores = Searcher.of(items, cosine=True).search(user, k, NOTHING)
    norms = np.linalg.norm(items, axis=1)
    cosines = np.divide(items @ user, norms, out=np.zeros(n_items), where=norms > 0)
    assert len(found) == min(k, n_items)
    np.testing.assert_allclose(scores, np.sort(cosines)[::-1][:k], rtol=1e-5, atol=1e-5)
    np.testing.assert_allclose(scores, cosines[found], rtol=1e-5, atol=1e-5)


@given(
    st.integers(0, 10**6),
    st.integers(1, 500),
    st.integers(1, 6),
    st.integers(1, 30),
    st.sampled_from([0.0, 0.1, 0.6]),
    st.data(),
)
@settings(max_examples=60, deadline=None)
def test_annoy_that_looks_at_every_node_is_the_twin(
    tmp_path_factory, seed, n_items, factors, k, head, data
) -> None:
    items, user, rng = random_world(seed, n_items, factors)
    folder = tmp_path_factory.mktemp("forest")
    codes = encode_items(items)
    n_head = int(head * n_items) // 16 * 16
    path = folder / FOREST
    if not build_forest(items, codes, path, n_head=n_head, trees=2, seed=0):
        assert not path.exists()
        return
    n_excluded = data.draw(st.integers(0, n_items // data.draw(st.sampled_from([1, 20]))))
    exclude = rng.choice(n_items, n_excluded, replace=False).astype(np.int32)
    # 0.1 of the tail is less than what makes a search scan it all, and enough for its list.
    forest = open_forest(path, *items.shape)
    for search_k in (EVERYTHING, {SHORT: n_items // 10, LONG: 10**6}):
        index = Searcher(items, codes, forest, search_k)
        found, scores = index.search(user, k, exclude)
        best_scores = slow_search(items, user, k, exclude)[1]
        assert len(scores) == len(best_scores)
        if search_k[SHORT if k <= SHORT else LONG] == 10**6:
            assert scores.tolist() == best_scores
        assert scores.tolist() == (items[found] @ user).tolist()
        assert not set(found.tolist()) & set(exclude.tolist())
        assert len(set(found.tolist())) == len(found)
        order = list(zip((-scores).tolist(), found.tolist(), strict=True))
        assert order == sorted(order)


def test_the_walk_finds_what_annoy_finds(tmp_path: Path) -> None:
    """The same forest, searched by Annoy itself: as good at as many candidates."""
    from annoy import AnnoyIndex as Forest

    rng = np.random.default_rng(7)
    items = rng.standard_normal((5000, 12)).astype(np.float32)
    index = annoy_index(items, tmp_path, head=0.0, trees=8, search_k=400)
    forest = Forest(13, "angular")
    forest.load(str(tmp_path / FOREST))
    row = index.codes.row
    shared = ours = 0
    for user in rng.standard_normal((40, 12)).astype(np.float32):
        best = set(slow_search(items, user, 20, NOTHING)[0])
        annoys = {int(row[number]) for number in forest.get_nns_by_vector([*user, 0], 20, 400)}
        shared += len(annoys & best)
        ours += len(set(index.search(user, 20, NOTHING)[0].tolist()) & best)
    assert shared > 0.5 * 40 * 20
    assert ours >= 0.97 * shared


@pytest.mark.parametrize("search_k", [1, 50])
def test_a_poor_forest_still_fills_the_list(tmp_path: Path, search_k: int) -> None:
    rng = np.random.default_rng(1)
    items = rng.standard_normal((3000, 16)).astype(np.float32)
    index = annoy_index(items, tmp_path, head=0.0, trees=1, search_k=search_k)
    user = rng.standard_normal(16).astype(np.float32)
    nearest = Searcher.of(items).search(user, 200, NOTHING)[0]
    for k in (1, 10, 300, 2990, 5000):
        exclude = nearest[:150]  # just those that the forest would find
        found, scores = index.search(user, k, exclude)
        assert len(found) == len(set(found.tolist())) == min(k, 3000 - 150)
        assert not set(found.tolist()) & set(exclude.tolist())
        assert (np.diff(scores) <= 0).all()
        np.testing.assert_allclose(scores, items[found] @ user, rtol=1e-5, atol=1e-6)


def test_the_head_finds_what_the_forest_does_not(tmp_path: Path) -> None:
    """Most items are small, few are large and best for everybody: the shape of real ALS items."""
    rng = np.random.default_rng(2)
    items = (rng.standard_normal((4000, 16)) * rng.lognormal(0, 1.2, (4000, 1))).astype(np.float32)
    users = rng.standard_normal((50, 16)).astype(np.float32)
    exact = Searcher.of(items)

    def recall(head: float) -> float:
        folder = tmp_path / str(head)
        folder.mkdir()
        index = annoy_index(items, folder, head=head, trees=10, search_k=50)
        shared = [
            len(
                set(index.search(user, 20, NOTHING)[0].tolist())
                & set(exact.search(user, 20, NOTHING)[0].tolist())
            )
            for user in users
        ]
        return sum(shared) / (20 * len(users))

    without, with_head = recall(0.0), recall(0.1)
    assert with_head > 0.9
    assert with_head > without


def test_the_same_items_and_seed_give_the_same_files(tmp_path: Path) -> None:
    items = np.random.default_rng(3).standard_normal((500, 8)).astype(np.float32)
    codes = encode_items(items)
    for name, seed in (("a", 7), ("b", 7), ("c", 8)):
        assert build_forest(items, codes, tmp_path / name, n_head=48, trees=5, seed=seed)
    first, again, other = ((tmp_path / name).read_bytes() for name in "abc")
    assert first == again
    assert first != other


def test_a_zero_user_gets_rows_in_order(tmp_path: Path) -> None:
    items = np.random.default_rng(4).standard_normal((500, 8)).astype(np.float32)
    index = annoy_index(items, tmp_path, head=0.1, trees=5, search_k=1000)
    agrees(index, items, np.zeros(8, np.float32), 5, np.array([0, 2], np.int32))


def test_huge_and_tiny_norms_stay_in_range(tmp_path: Path) -> None:
    rng = np.random.default_rng(5)
    for scale in (1e-25, 1e18):
        folder = tmp_path / str(scale)
        folder.mkdir()
        items = (rng.standard_normal((600, 8)) * scale).astype(np.float32)
        index = annoy_index(items, folder, head=0.1, trees=5, search_k=10**6)
        user = rng.standard_normal(8).astype(np.float32)
        found = index.search(user, 10, NOTHING)[0]
        assert found.tolist() == Searcher.of(items).search(user, 10, NOTHING)[0].tolist()
        assert found.tolist() == PlainIndex(items).search(user, 10, NOTHING)[0].tolist()


@pytest.mark.parametrize("k", [1, 100, 10_000, 100_000])
def test_a_long_history_and_a_long_list(k: int) -> None:
    rng = np.random.default_rng(8)
    items = (rng.standard_normal((60_000, 8)) * rng.lognormal(0, 0.7, (60_000, 1))).astype("f4")
    user = rng.standard_normal(8).astype(np.float32)
    index, plain = Searcher.of(items), PlainIndex(items)
    for n_seen in (0, 50_000, 59_999):
        seen = rng.choice(60_000, n_seen, replace=False).astype(np.int32)
        found, scores = index.search(user, k, seen)
        expected, best = plain.search(user, k, seen)
        assert len(found) == len(expected) == min(k, 60_000 - n_seen)
        assert not set(found.tolist()) & set(seen.tolist())
        np.testing.assert_allclose(scores, best, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("found", ["nothing", "no library", "another library"])
def test_another_library_than_the_compiled_search_is_refused(
    tmp_path: Path, monkeypatch, found: str
) -> None:
    path = tmp_path / "_kernel.so"
    if found == "no library":
        path.write_text("int main() {}")
    elif found == "another library":
        path.symlink_to(_ctypes.__file__)
    monkeypatch.setattr(compiled, "LIBRARY", path)
    with pytest.raises(ImportError, match=r"expected the compiled search of this release, got .*"):
        compiled.open_library()


def test_rows_that_are_none_exclude_nothing() -> None:
    items, user, _ = random_world(0, 50, 4)
    exclude = np.array([-1, -(2**31), 50, 2**31 - 1, 3, 3], dtype=np.int32)
    agrees(Searcher.of(items), items, user, 50, exclude)


def test_threads_do_not_disturb_each_other() -> None:
    from concurrent.futures import ThreadPoolExecutor

    rng = np.random.default_rng(6)
    items = rng.standard_normal((3000, 8)).astype(np.float32)
    users = rng.standard_normal((400, 8)).astype(np.float32)
    index = Searcher.of(items)
    alone = [index.search(user, 10, NOTHING)[0].tolist() for user in users]
    with ThreadPoolExecutor(4) as pool:
        together = list(pool.map(lambda u: index.search(u, 10, NOTHING)[0].tolist(), users))
    assert together == alone


CODE_FILES = ["row.npy", "position.npy", "codes.npy", "bounds.npy", "factor.npy"]


@pytest.mark.parametrize("name", [FOREST, *CODE_FILES])
@pytest.mark.parametrize("damage", ["missing", "empty", "cut", "of other items"])
def test_damaged_files_are_named(tmp_path: Path, name: str, damage: str) -> None:
    items = np.random.default_rng(6).standard_normal((300, 4)).astype(np.float32)
    annoy_index(items, tmp_path, head=0.1, trees=3, search_k=100)
    path = tmp_path / name
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "cut":
        path.write_bytes(path.read_bytes()[:-3])
    else:
        (tmp_path / "other").mkdir()
        others = np.tile(items, (2, 1))
        annoy_index(others, tmp_path / "other", head=0.1, trees=3, search_k=100)
        if name == "factor.npy":
            write_codes(encode_items(others, cosine=True), tmp_path / "other")
        path.write_bytes((tmp_path / "other" / name).read_bytes())
    with pytest.raises(CorruptVersionError, match=name.replace(".", r"\.")):
        opened(items, tmp_path, EVERYTHING)


@pytest.fixture(scope="module")
def whole(tmp_path_factory) -> Path:
    """The folder of an index that nothing is wrong with."""
    folder = tmp_path_factory.mktemp("whole")
    annoy_index(random_world(1, 300, 4)[0], folder, head=0.1, trees=3, search_k=20)
    return folder


@given(st.sampled_from([FOREST, *CODE_FILES]), st.data())
@settings(max_examples=150, deadline=None)
def test_no_flipped_bit_leads_a_search_astray(
    tmp_path_factory, whole: Path, name: str, data
) -> None:
    """Answers may be wrong, but there are some, and the process lives."""
    folder = tmp_path_factory.mktemp("index")
    shutil.copytree(whole, folder, dirs_exist_ok=True)
    items, user, _ = random_world(1, 300, 4)
    content = bytearray((folder / name).read_bytes())
    start = 0 if name == FOREST else 128  # behind the header, which is checked
    if len(content) <= start:
        return
    for _ in range(20):
        content[data.draw(st.integers(start, len(content) - 1))] ^= 1 << data.draw(
            st.integers(0, 7)
        )
    (folder / name).write_bytes(content)
    try:
        index = opened(items, folder, EVERYTHING | {SHORT: 20})
    except CorruptVersionError:
        return
    for k in (5, 300):
        rows, _ = index.search(user, k, np.arange(7, dtype=np.int32))
        assert len(rows) <= k
        assert all(0 <= row < 300 for row in rows.tolist())
