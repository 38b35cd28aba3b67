"""Parts of words kept as a product: their hashes, their sums, and what is made of them."""

from zlib import crc32

import numpy as np
import pyarrow as pa
import pytest

from recsys.base.threads import threads
from recsys.features import FeatureEncoder, FeatureRows, Features, parts, ridge
from recsys.features.parts import Merged, hashed_parts
from recsys.features.ridge_steps import RidgeSteps
from recsys.features.terms import _counted_terms, _of_words
from recsys.models import ALS
from recsys.models.als.prior import Prior

WORDS = [
    "a",
    "ox",
    "fox",
    "aaaaaaa",
    "foxtrot",
    "été",
    "straße",
    "日本語テキスト",
    "😀😀",
    "x" * 300,
]
TABLE = pa.table(
    {
        "title": [f"{WORDS[n % 10]} {WORDS[n % 7]} {WORDS[n % 3]} banana" for n in range(90)]
        + ["", None],
        "kind": ["few", "some"] * 45 + ["few", None],
        "also": [f"{WORDS[n % 9]} bananas" for n in range(90)] + ["ox", None],
    }
)
KINDS = {"title": "text", "kind": "category", "also": "text"}


def _parts_of(word: str) -> set[str]:
    """Return the runs of 3 to 5 characters of a word with its two ends, and the whole."""
    ends = f" {word} "
    runs = (ends[at : at + n] for n in (3, 4, 5) for at in range(len(ends) - n + 1))
    return {*runs, ends}


def test_parts_of_words_in_any_script_have_the_hashes_of_a_plain_loop() -> None:
    found = hashed_parts(pa.array(["cut off", *WORDS], pa.large_string()).slice(1))
    plain = {(n, crc32(one.encode())) for n, word in enumerate(WORDS) for one in _parts_of(word)}
    assert list(zip(*(one.tolist() for one in found), strict=True)) == sorted(plain)
    assert not len(hashed_parts(pa.array([], pa.large_string()))[0])


def test_parts_are_merged_in_chunks_as_by_the_whole_product(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    counts, words = _counted_terms("text", TABLE["title"].combine_chunks(), "")
    of_words = _of_words(hashed_parts(words), (len(words), 50))
    scale = np.random.default_rng(0).random(50)
    whole = Merged.of(counts, of_words, scale)
    monkeypatch.setattr(parts, "_MANY", 0)
    monkeypatch.setattr(parts, "_CHUNK", 7)
    merged = Merged.of(counts, of_words, scale)
    np.testing.assert_array_equal(merged.n_rows, whole.n_rows)
    np.testing.assert_allclose(merged.lengths, whole.lengths)
    np.testing.assert_allclose(merged.repeated.toarray(), whole.repeated.toarray(), atol=1e-12)
    assert merged.repeated.nnz == whole.repeated.nnz > 0


def test_a_product_says_and_learns_what_the_whole_features_do(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    encoder = FeatureEncoder.learn(TABLE, KINDS)
    rows, whole = encoder.rows(TABLE), encoder.encode(TABLE)
    assert rows.n_entries < whole.nnz / 2
    assert rows.is_known.tolist() == [*[True] * 91, False]
    assert rows.shape == whole.shape == (92, len(encoder))
    np.testing.assert_array_equal(rows.take([5, 91]).tocsr().toarray(), whole[[5, 91]].toarray())
    few = rows.take([5, 91]).worded()
    assert few.left.shape[1] == few.right.shape[0] < rows.left.shape[1]
    np.testing.assert_array_equal(few.tocsr().toarray(), whole[[5, 91]].toarray())
    rng = np.random.default_rng(0)
    vectors = rng.normal(size=(92, 16)).astype(np.float32)
    weights = rng.random(92)
    monkeypatch.setattr(ridge, "_WIDE", 0)
    monkeypatch.setattr("recsys.features.ridge_steps.TOLERANCE", 1e-5)
    monkeypatch.setattr(Prior, "follow", Prior.solve)  # a step is nearer by one of the two
    found = [RidgeSteps(one, weights, 2.0, 16) for one in (rows, whole)]
    with threads(2) as pool:
        for one in found:
            one.solve(vectors, pool)
            said = ridge.said_of(rows, one.map, pool)
            np.testing.assert_allclose(said, one.said, atol=1e-4)
    np.testing.assert_allclose(found[0].map, found[1].map, atol=1e-3)
    user_items = (rng.random((60, 92)) < 0.1).astype(np.float32)
    model = ALS(4, iterations=4)
    by_rows, by_whole = (
        model.fit(user_items, features=Features(items=one)) for one in (rows, whole)
    )
    np.testing.assert_allclose(by_rows.items, by_whole.items, atol=1e-3)
    monkeypatch.setattr(ridge, "_WIDE", 1024)  # a dense system
    dense = [ridge.feature_map(one, vectors, weights) for one in (rows, whole)]
    np.testing.assert_array_equal(*dense)
    assert FeatureRows.of(whole).tocsr() is whole
