"""Versions served from int8: the lists are those of a search of what the bytes decode to."""

import pickle
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import recsys
from recsys.errors import CorruptVersionError
from recsys.index import PlainIndex, Searcher
from recsys.index.clusters import cluster_items
from recsys.index.quantized import encode_items
from recsys.settings import IndexSettings
from recsys.store import publish, verify
from recsys.vectors import Embeddings
from recsys.vectors.storage import StoredMatrix, encode
from tests.store.releases import small_release

INT8 = IndexSettings(storage="int8")
NOTHING = np.empty(0, dtype=np.int32)


def decoded(release):
    """Return the release of which every vector is what its bytes decode to."""
    users, items = (
        np.asarray(encode(matrix, "int8"))
        for matrix in (release.embeddings.users, release.embeddings.items)
    )
    return replace(release, embeddings=Embeddings(users, items, release.embeddings.summands))


@pytest.fixture(scope="module")
def pair(tmp_path_factory):
    """The same release from int8, and its decoded twin from float32."""
    folder = tmp_path_factory.mktemp("int8")
    release = small_release()
    publish(folder / "bytes", release, INT8)
    publish(folder / "floats", decoded(release), IndexSettings())
    return recsys.open(folder / "bytes"), recsys.open(folder / "floats")


def test_every_answer_is_that_of_the_decoded_twin(pair) -> None:
    bytes_, floats = pair
    assert isinstance(bytes_.item_vectors.matrix, StoredMatrix)
    users = bytes_.user_vectors.ids.tolist()
    items = bytes_.item_vectors.ids.tolist()

    def answers(of):
        yield from (of.recommend(user, k) for user in users for k in (1, 8, 100))
        yield from (of.recommend(user, 5, exclude=items[:9], include_seen=True) for user in users)
        yield from (of.recommend(user, 5, candidates=items[3:20]) for user in users)
        yield from (of.recommend(user, 5, diversity=0.5) for user in users)
        yield from of.recommend_many([*users, "new"], 7)
        yield from (of.similar_items(item, 6) for item in items)
        yield from (of.similar_users(user, 6) for user in users)
        yield of.recommend_for_history(items[:3], 6)

    for ours, twins in zip(answers(bytes_), answers(floats), strict=True):
        assert ours.source == twins.source
        assert list(ours) == list(twins)
    for of in (bytes_, floats):
        explained = of.explain(users[1], items[4])
        total = sum(one.score for one in explained.contributions) + explained.rest
        assert total == pytest.approx(explained.score, abs=1e-6)
    for by in ("dot", "cosine"):
        ours, twins = (of.item_vectors.nearest(items[2], 5, by=by) for of in pair)
        assert [one.id for one in ours] == [one.id for one in twins]
    ours, twins = (of.item_vectors.matrix for of in pair)
    assert (ours.ndim, ours.dtype, ours.T.shape) == (twins.ndim, twins.dtype, twins.T.shape)
    for stored in (ours, pickle.loads(pickle.dumps(ours))):  # noqa: S301
        np.testing.assert_array_equal(stored @ twins[0], twins @ twins[0])
        np.testing.assert_array_equal(2 * stored - 1, 2 * twins - 1)
        np.testing.assert_array_equal(stored.mean(axis=0), twins.mean(axis=0))


@pytest.mark.parametrize("kind", ["scan", "clusters", "plain"])
@pytest.mark.parametrize("cosine", [False, True])
def test_a_search_of_bytes_is_one_of_what_they_decode_to(kind: str, cosine: bool) -> None:
    rng = np.random.default_rng(0)
    stored = encode(rng.standard_normal((700, 33)).astype(np.float32), "int8")
    items = np.asarray(stored)
    if kind == "clusters":
        factor = encode_items(items, cosine=True).factor if cosine else None
        codes, clusters = cluster_items(items, factor, 0)
    else:
        codes, clusters = encode_items(items, cosine=cosine), None
    pair = [Searcher(matrix, codes, clusters=clusters) for matrix in (stored, items)]
    if kind == "plain":
        pair[1] = PlainIndex(items, pair[0].factor)
    for user in rng.standard_normal((20, 33)).astype(np.float32):
        for k in (1, 20, 700):
            ours, twins = (one.search(user, k, NOTHING) for one in pair)
            if kind == "plain":  # which sums in another order
                np.testing.assert_allclose(ours[1], twins[1], rtol=1e-4, atol=1e-5)
            else:
                np.testing.assert_array_equal(ours, twins)


def test_it_verifies_and_damage_ends_in_an_error_of_ours(tmp_path: Path) -> None:
    version = publish(tmp_path, small_release(), INT8)
    verify(tmp_path)
    users = version.folder / "serving/users"
    shape = np.load(users / "embeddings.npy").shape
    assert np.load(users / "embeddings.npy").dtype == np.int8
    assert np.load(users / "scale.npy").shape == (shape[0], 1)
    for name in ("embeddings.npy", "scale.npy"):
        path = users / name
        content = path.read_bytes()
        for damaged in (None, content[:-1], content[:-1] + bytes([content[-1] ^ 1]), b""):
            path.chmod(0o600)
            path.unlink()
            if damaged is not None:
                path.write_bytes(damaged)
            with pytest.raises(CorruptVersionError, match=name.partition(".")[0]):
                recsys.open(tmp_path, version.name)
            path.write_bytes(content)
    assert recsys.open(tmp_path).recommend("u1", 3)


def test_the_setting_may_change_between_versions(tmp_path: Path) -> None:
    for settings in (IndexSettings(), INT8, IndexSettings()):
        publish(tmp_path, small_release(), settings)
        verify(tmp_path)
        assert len(recsys.open(tmp_path).recommend("u1", 3)) == 3
