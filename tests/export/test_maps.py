"""What tools that draw take: a sample by popularity for the projector, a table for atlas."""

import json
from pathlib import Path

import duckdb
import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import ConfigError
from recsys.export import export_version, notes_of
from recsys.maps import vector_map
from recsys.store import Content, publish
from recsys.vectors import Embeddings
from tests.export.readers import from_projector, lines_of
from tests.store.releases import small_release

N = 400
HOSTILE = ["</script><b>x", '"quoted"', "עברית", "🦊", "tab\tin", "line\nfeed", "", None]


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    """Items of which few are popular, one without a vector, with titles of any kind."""
    rng = np.random.default_rng(0)
    vectors = rng.standard_normal((N, 8)).astype(np.float32)
    vectors[7] = 0
    attributes = pa.table(
        {
            "item_id": [f"i{row}" for row in range(N)],
            "title": [HOSTILE[row % len(HOSTILE)] for row in range(N)],
            "x": [row % 3 for row in range(N)],
        }
    )
    release = small_release(
        n_users=5,
        n_items=N,
        item_ids=[f"i{row}" for row in range(N)],
        embeddings=Embeddings(vectors[:5].copy(), vectors),
        popularity=np.array([1000] * 10 + [50] * 90 + [1] * 300),
        attributes=attributes,
    )
    return Content.of(publish(tmp_path_factory.mktemp("maps") / "store", release))


def test_the_projector_gets_all_of_the_head_and_a_sample_of_the_tail(
    content: Content, tmp_path: Path
) -> None:
    out = export_version(content, "projector", tmp_path / "out", kinds=("items",), sample=100)
    ids, vectors = from_projector(out, "items")
    rows = [int(line.split("\t")[1]) for line in lines_of(out / "items" / "metadata.tsv")[1:]]
    assert len(ids) == 100
    assert rows[:10] == list(range(10))
    assert np.array_equal(vectors.astype(np.float32), content.items.embeddings[rows])
    assert ids == content.items.ids.tolist(np.array(rows))
    (facts,) = json.loads((out / "export.json").read_text())["files"].values()
    drawn = [(one["low"], one["n"], one["n_drawn"]) for one in facts["strata"]]
    assert (facts["rows"], facts["of"]) == (100, N)
    assert drawn == [(1000, 10, 10), (50, 90, 45), (1, 300, 45)]
    assert notes_of(out)[0].startswith("items/vectors.tsv: a sample, 100 of 400")


def test_the_projector_gets_all_where_they_are_few(content: Content, tmp_path: Path) -> None:
    out = export_version(content, "projector", tmp_path / "out")
    assert len(from_projector(out, "items")[0]) == N
    assert notes_of(out) == []


def test_atlas_gets_positions_and_neighbours(content: Content, tmp_path: Path) -> None:
    out = export_version(content, "atlas", tmp_path / "out", kinds=("items",))
    found = pq.read_table(out / "items.parquet")
    names = ["item_id", "x", "y", "popularity", "title", "x of item", "neighbors"]
    assert found.column_names == names
    ids = found["item_id"].to_pylist()
    assert ids == [f"i{row}" for row in range(N) if row != 7]
    titles = content.attributes["title"].to_pylist()
    assert found["title"].to_pylist() == titles[:7] + titles[8:]

    places = vector_map(content.version.folder.parents[1]).positions
    assert np.array_equal(np.column_stack([found["x"], found["y"]]), places)
    assert np.isfinite(places).all()

    # As embedding-atlas takes them: rows of the table from 0, nearest first, and distances.
    units = content.items.embeddings[[row for row in range(N) if row != 7]].astype(np.float64)
    units /= np.linalg.norm(units, axis=1, keepdims=True)
    cosines = units @ units.T
    np.fill_diagonal(cosines, -2)
    for row in (0, 6, 7, 398):
        near = found["neighbors"][row].as_py()
        assert near["ids"] == np.argsort(-cosines[row])[:10].tolist()
        assert np.allclose(near["distances"], 1 - np.sort(cosines[row])[::-1][:10], atol=1e-5)
    counted = duckdb.sql(f"select count(*), min(len(neighbors.ids)) from '{out}/items.parquet'")
    assert counted.fetchall() == [(N - 1, 10)]
    assert notes_of(out) == [
        "items.parquet: 1 without a vector are left out",
        f"open it: embedding-atlas {out}/items.parquet --x x --y y --neighbors neighbors "
        "--text title",
    ]


def test_atlas_takes_a_sample_where_it_is_asked_to(content: Content, tmp_path: Path) -> None:
    out = export_version(content, "atlas", tmp_path / "out", kinds=("items",), sample=50)
    found = pq.read_table(out / "items.parquet")
    assert found.num_rows in (49, 50)
    rows = np.array(found["neighbors"].combine_chunks().field("ids").flatten())
    assert 0 <= rows.min() <= rows.max() < found.num_rows


def test_a_sample_is_for_what_draws(content: Content, tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="expected no sample .--sample. for numpy"):
        export_version(content, "numpy", tmp_path / "out", sample=10)
    with pytest.raises(ConfigError, match="expected 1 or more rows .--sample., got 0"):
        export_version(content, "projector", tmp_path / "out", sample=0)
