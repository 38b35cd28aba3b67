"""Features of a table: kinds that are found, what is learned, and that it is kept."""

import json
import re
from zlib import crc32

import numpy as np
import pyarrow as pa
import pytest

from recsys.errors import ConfigError, DataError
from recsys.features import Encoded, FeatureEncoder
from recsys.vectors import Ids

TABLE = pa.table(
    {
        "item_id": [1, 2, 3, 4, 5, 6],
        "category": ["a", "b", "a", None, "c", None],
        "genres": ["x|y", "y", "", "z|x", "y|z", None],
        "tags": [["p", "q"], ["p"], [], ["q", "q"], None, None],
        "title": ["Red wool sock", "Blue wool sock", "The red lamp", "Wool's end!", "", None],
        "price": [1.0, 2.0, 4.0, 8.0, None, None],
        "image": pa.array([[3.0, 4.0], [0.0, 5.0], None, [5.0, 0.0], [4.0, 3.0], None]).cast(
            pa.list_(pa.float32(), 2)
        ),
    }
)
KINDS = {"category": "category", "title": "text"} | dict.fromkeys(
    ("genres", "tags", "price", "image"), "auto"
)


@pytest.fixture(scope="module")
def encoder() -> FeatureEncoder:
    return FeatureEncoder.learn(TABLE, KINDS)


def _row(encoder: FeatureEncoder, table: pa.Table, row: int) -> dict[str, float]:
    found = encoder.encode(table)[[row]].toarray()[0]
    return {name: float(one) for name, one in zip(encoder.names, found, strict=True) if one}


def test_each_kind_is_what_it_says(encoder: FeatureEncoder) -> None:
    first, third = _row(encoder, TABLE, 0), _row(encoder, TABLE, 2)
    assert first["*"] == first["category=a"] == 1
    assert first["genres=x"] == first["genres=y"] == pytest.approx(0.5**0.5)
    assert first["tags=p"] == first["tags=q"] == pytest.approx(0.5**0.5)
    assert "category=b" not in encoder.names  # of one row: below the floor
    assert first["title=red"] == pytest.approx(first["title=sock"])  # as many rows have them
    assert first["title=red"] ** 2 + first["title=sock"] ** 2 < 1  # so do those of "wool", a third
    assert first["price=1"] == 1
    assert 0 < third["price=3.75"] < 1  # between two knots, of which the shares add to 1
    assert sum(one for name, one in third.items() if name.startswith("price=")) == pytest.approx(1)
    assert (first["image=0"], first["image=1"]) == pytest.approx((0.6, 0.8))  # mean length 1
    assert third["genres=?"] == third["tags=?"] == third["image=?"] == 1
    assert _row(encoder, TABLE, 5) == {}  # a row of nulls is one of which nothing is known


def test_a_later_table_is_encoded_alike_by_what_was_kept(encoder: FeatureEncoder) -> None:
    kept = FeatureEncoder.from_dict(json.loads(json.dumps(encoder.to_dict())))
    assert kept.names == encoder.names
    later = TABLE.slice(0, 2).set_column(1, "category", pa.array(["a", "new"]).dictionary_encode())
    np.testing.assert_array_equal(
        kept.encode(later)[[0]].toarray(), encoder.encode(TABLE)[[0]].toarray()
    )
    assert not [name for name in _row(kept, later, 1) if name.startswith("category")]
    rows = Encoded.of(kept, TABLE, Ids(TABLE["item_id"])).rows(Ids(["3", "unknown", "1"])).tocsr()
    np.testing.assert_array_equal(rows.toarray()[[0, 2]], encoder.encode(TABLE).toarray()[[2, 0]])
    assert rows[[1]].nnz == 0


def test_words_beyond_the_most_share_columns_by_a_hash(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("recsys.features.encoder._MOST", 3)
    words = [f"word{n} word{n + 1} often" for n in range(40)]
    table = pa.table({"title": [*words, *words]})
    found = FeatureEncoder.learn(table, {"title": "text"})
    assert len(found) == 1 + 2 + 1024 + 1  # of the three, parts have a third
    rows = found.encode(table)
    assert np.diff(rows.indptr).min() >= 3
    np.testing.assert_allclose(rows.multiply(rows).sum(axis=1), 3, rtol=1e-5)  # with the constant


def test_parts_of_words_are_counted_by_their_hash_as_a_plain_loop_counts_them() -> None:
    titles = ["Red wool sock", "red socks, red lamp", "Ox", "x" * 300, "", None]
    encoder = FeatureEncoder.learn(pa.table({"title": titles}), {"title": "text"}, min_count=1)
    columns = [n for n, name in enumerate(encoder.names) if name.startswith("title=~")]
    counts = np.zeros((len(titles), len(columns)))
    for row, title in enumerate(titles):
        for word in re.findall(r"\w+", (title or "").lower()):
            ends = f" {word} "
            runs = {
                ends[at : at + n]
                for n in (3, 4, 5)
                for at in range(len(ends))
                if at + n <= len(ends)
            }
            for run in runs | {ends}:
                counts[row, crc32(run.encode()) % len(columns)] += 1
    weights = (counts > 0) * (1 + np.log(np.maximum(counts, 1)))
    weights *= np.log(7 / (1 + (counts > 0).sum(axis=0))) + 1
    weights /= np.maximum(np.linalg.norm(weights, axis=1, keepdims=True), 1e-9)
    found = encoder.encode(pa.table({"title": titles}))[:, columns].toarray()
    np.testing.assert_allclose(found, weights, atol=1e-6)


def test_a_word_that_nobody_knew_is_near_those_that_share_its_parts() -> None:
    known = ["Sockenhalter", "Regenschirm", "Lampenschirme", "Wollsocken"]
    encoder = FeatureEncoder.learn(pa.table({"title": known}), {"title": "text"})
    rows = encoder.encode(pa.table({"title": [*known, "Socken", "Schirm"]})).toarray()[:, 1:]
    assert set(np.argsort(-(rows[:4] @ rows[4]))[:2].tolist()) == {0, 3}
    assert set(np.argsort(-(rows[:4] @ rows[5]))[:2].tolist()) == {1, 2}


def test_an_encoder_from_before_there_were_parts_has_none() -> None:
    kept = FeatureEncoder.learn(TABLE, {"title": "text"}).to_dict()
    del kept["title"]["parts"]
    before = FeatureEncoder.from_dict(kept)
    assert not [name for name in before.names if "=~" in name]
    assert before.encode(TABLE).shape == (6, len(before))


@pytest.mark.parametrize(
    ("values", "kind"),
    [
        (["a b|c"] * 3, "list"),
        ([f"a long title of {n}" for n in range(30)], "text"),
        (["a b", "c d"] * 30, "category"),
        ([1, 2] * 30, "category"),
        (list(range(60)), "quantiles"),
        ([0.5, 1.5], "quantiles"),
        ([True, False], "category"),
        ([["a"], ["b"]], "list"),
        ([[0.5, 1.0], [1.0, 2.0]], "vector"),
    ],
)
def test_the_kind_of_a_column_is_found(values: list[object], kind: str) -> None:
    found = FeatureEncoder.learn(pa.table({"x": values}), ["x"], min_count=1)
    assert found.to_dict()["x"]["kind"] == kind


def test_what_cannot_be_encoded_is_said() -> None:
    with pytest.raises(DataError, match="model.item_features: .*'titel'.* did you mean"):
        FeatureEncoder.learn(TABLE, ["titel"])
    with pytest.raises(ConfigError, match="model.user_features.title: expected a kind"):
        FeatureEncoder.learn(TABLE, {"title": "texts"}, of="user")
    with pytest.raises(DataError, match="column 'title', string, cannot be encoded as 'number'"):
        FeatureEncoder.learn(TABLE, {"title": "number"})
    with pytest.raises(DataError, match="one length"):
        FeatureEncoder.learn(pa.table({"v": [[1.0], [1.0, 2.0]]}), ["v"])
    learned = FeatureEncoder.learn(TABLE, ["title"])
    with pytest.raises(DataError, match="the column 'title' .*; give a table that has it"):
        learned.encode(TABLE.drop_columns("title"))
