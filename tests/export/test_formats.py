"""What is exported is read back by readers that know nothing of ours, whatever the ids."""

import fcntl
import json
import os
import shutil
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError
from recsys.export import FORMATS, export_version
from recsys.export.formats import vector_texts
from recsys.store import Content, publish
from recsys.vectors import Embeddings
from tests.export.readers import READERS
from tests.store.releases import ODD_IDS, small_release

ODDER_IDS = [
    *ODD_IDS,
    *(
        "tab\tin",
        "cr\r\nlf",
        "\\N",
        "\\.",
        "\\",
        "a\u2028b",
        "100 % of\u3000it",
        "%41",
        "é\x0b\x85",
    ),
    *('"', "'; drop table items; --", "[1,2]"),
]
INTEGER_IDS = [0, 7, -(2**63), 2**63 - 1, 42, 10]


def content_of(store: Path, ids: list, **changes) -> Content:
    """Vectors of any size, the first one zero; users and items have the same ids."""
    n, rng = len(ids), np.random.default_rng(0)
    scales = 10.0 ** rng.integers(-30, 4, (n, 4))
    vectors = (rng.standard_normal((n, 4)) * scales).astype(np.float32)
    vectors[0] = 0
    vectors[1, 0] = -0.0
    release = small_release(
        n_users=n,
        n_items=n,
        user_ids=ids,
        item_ids=ids,
        embeddings=Embeddings(vectors[::-1].copy(), vectors),
        **changes,
    )
    return Content.of(publish(store, release))


@pytest.fixture(scope="module", params=["odd", "integers"])
def content(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Content:
    ids = ODDER_IDS if request.param == "odd" else INTEGER_IDS
    return content_of(tmp_path_factory.mktemp("store"), ids)


def expected_ids(content: Content, to: str) -> list:
    ids = content.items.ids.tolist()
    return ids if to in ("numpy", "faiss") else [str(id_) for id_ in ids]


@pytest.mark.parametrize("block_bytes", [1, 100, 10**6])
@pytest.mark.parametrize("to", READERS)
def test_there_and_back(
    content: Content, tmp_path: Path, to: str, block_bytes: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("recsys.export.vector_table._BLOCK_BYTES", block_bytes)
    if to == "word2vec" and "" in content.items.ids.tolist():
        with pytest.raises(DataError, match="item_id of one character or more for word2vec"):
            export_version(content, to, tmp_path / "out", kinds=("items",))
        assert list(tmp_path.iterdir()) == []
        ids = [id_ for id_ in ODDER_IDS if id_]
        content = content_of(tmp_path / "store", ids)
    out = export_version(content, to, tmp_path / "out")
    for kind, table in (("users", content.users), ("items", content.items)):
        ids, vectors = READERS[to](out, kind)
        assert ids == expected_ids(content, to)
        found = np.asarray(vectors).astype(np.float32)
        assert found.tobytes() == np.ascontiguousarray(table.embeddings).tobytes()
    about = json.loads((out / "export.json").read_text())
    manifest = content.version.manifest
    assert (about["version"], about["space_id"]) == (manifest.version, manifest.space_id)
    assert (about["format"], about["factors"], about["metric"]) == (to, 4, "dot product")


@pytest.mark.parametrize("to", FORMATS)
def test_the_same_version_gives_the_same_bytes(content: Content, tmp_path: Path, to: str) -> None:
    if to == "word2vec":
        content = content_of(tmp_path / "store", ["a", "b", "c"])
    first, second = (export_version(content, to, tmp_path / name) for name in "ab")
    names = sorted(path.relative_to(first) for path in first.rglob("*") if path.is_file())
    assert len(names) >= 2
    for name in names:
        assert (first / name).read_bytes() == (second / name).read_bytes()


def test_only_items(content: Content, tmp_path: Path) -> None:
    out = export_version(content, "numpy", tmp_path / "out", kinds=("items",))
    found = {path.name for path in out.iterdir()}
    assert found == {"items.npy", "items_ids.jsonl", "export.json"}


@pytest.mark.parametrize("to", ["numpy", "pgvector"])
def test_half_precision(content: Content, tmp_path: Path, to: str) -> None:
    out = export_version(content, to, tmp_path / "out", dtype="float16")
    _, vectors = READERS[to](out, "items")
    half = np.asarray(vectors).astype(np.float16)
    np.testing.assert_array_equal(half, content.items.embeddings.astype(np.float16))
    if to == "numpy":
        assert vectors.dtype == np.float16
    else:
        assert "halfvec(4)" in (out / "load.sql").read_text()


def test_what_half_precision_cannot_hold(tmp_path: Path) -> None:
    vectors = np.full((3, 4), 40_000, dtype=np.float32)
    release = small_release(n_users=3, n_items=3, embeddings=Embeddings(vectors, vectors))
    content = Content.of(publish(tmp_path / "store", release))
    with pytest.raises(DataError, match="below 32768, .* got 40000; export float32"):
        export_version(content, "numpy", tmp_path / "out", dtype="float16")
    assert not (tmp_path / "out").exists()


def test_faiss_finds_what_is_nearest(tmp_path: Path) -> None:
    faiss = pytest.importorskip("faiss")
    for ids in ([5, 3, 8, 1], ["a", "b", "c", "d"]):
        content = content_of(tmp_path / str(ids[0]), ids)
        out = export_version(content, "faiss", tmp_path / f"out{ids[0]}")
        index = faiss.read_index(str(out / "items.faiss"))
        user = np.array([[1, 2, 3, 4]], dtype=np.float32)
        scores, found = index.search(user, 2)
        order = np.argsort(-(content.items.embeddings @ user[0]), kind="stable")[:2]
        expected = [ids[row] for row in order] if ids[0] == 5 else order.tolist()
        assert found[0].tolist() == expected
        np.testing.assert_allclose(scores[0], content.items.embeddings[order] @ user[0], rtol=1e-6)


def test_the_projector_shows_titles_and_names_its_files(tmp_path: Path) -> None:
    content = content_of(tmp_path / "store", ["a", "b\tc"])
    out = export_version(content, "projector", tmp_path / "out")
    metadata = (out / "items" / "metadata.tsv").read_text()
    assert metadata == "item_id\titem_idx\ttitle\na\t0\tTitle 0\nb\\tc\t1\tTitle 1\n"
    config = (out / "projector_config.pbtxt").read_text()
    for name in ("users", "items"):
        assert f'tensor_path: "{name}/vectors.tsv"' in config
    assert content.version.manifest.space_id in config
    untitled = content_of(tmp_path / "untitled", ["a", "b"], titles=False)
    out = export_version(untitled, "projector", tmp_path / "out2", kinds=("items",))
    assert (out / "items" / "metadata.tsv").read_text() == "item_id\titem_idx\na\t0\nb\t1\n"


def test_an_id_that_postgresql_cannot_hold(tmp_path: Path) -> None:
    content = content_of(tmp_path / "store", ["a", "b\0c"])
    with pytest.raises(DataError, match="that PostgreSQL can hold, got 'b.x00c'"):
        export_version(content, "pgvector", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["store"]


def test_what_is_there_is_left_alone(content: Content, tmp_path: Path) -> None:
    with pytest.raises(DataError, match="no file or folder at .*, got one; choose another"):
        export_version(content, "numpy", tmp_path)
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, match="check that its folder may be written to"):
        export_version(content, "numpy", tmp_path / "file" / "out")


def test_what_somebody_left_who_died_is_overwritten(content: Content, tmp_path: Path) -> None:
    (tmp_path / ".out.partial").mkdir()
    (tmp_path / ".out.partial" / "items.npy").write_text("half")
    export_version(content, "numpy", tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["out"]


@pytest.mark.parametrize("kind", ["photos", "a file", "a link", "a link to nowhere", "an export"])
def test_only_what_an_export_has_left_is_deleted(
    content: Content, tmp_path: Path, kind: str
) -> None:
    aside, other = tmp_path / ".out.partial", tmp_path / "other"
    other.mkdir()
    (other / "items.npy").write_text("kept")
    if kind == "photos":
        shutil.copytree(other, aside / "items")
    elif kind == "a file":
        aside.write_text("kept")
    elif kind == "a link":
        aside.symlink_to(other)
    elif kind == "a link to nowhere":
        aside.symlink_to("nowhere")
    else:
        shutil.copytree(other, aside)
    before = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    with (other / "items.npy").open() as file:  # or the folder that another process is writing to
        descriptor = os.open(aside, os.O_RDONLY) if kind == "an export" else os.dup(file.fileno())
    fcntl.flock(descriptor, fcntl.LOCK_EX)
    out = export_version(content, "numpy", tmp_path / "out")
    os.close(descriptor)
    after = {path: path.lstat().st_mtime_ns for path in tmp_path.rglob("*")}
    assert before.items() <= after.items()
    assert {path for path in set(after) - set(before) if out not in path.parents} == {out}


def test_a_link_to_nowhere_is_not_written_over(content: Content, tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(DataError, match="expected no file or folder at"):
        export_version(content, "numpy", tmp_path / "out")
    assert (tmp_path / "out").readlink() == Path("nowhere")


@pytest.mark.parametrize(
    ("arguments", "expected"),
    [
        ({"to": "nunpy"}, "got 'nunpy'; did you mean 'numpy'"),
        ({"to": "numpy", "dtype": "int8"}, "expected float32 or float16, got 'int8'"),
        ({"to": "faiss", "dtype": "float16"}, "goes with numpy and pgvector"),
        ({"to": "numpy", "kinds": ("shops",)}, "expected users, items or both"),
        ({"to": "numpy", "kinds": ()}, "expected users, items or both"),
    ],
)
def test_what_cannot_be_asked_for(
    content: Content, tmp_path: Path, arguments: dict, expected: str
) -> None:
    with pytest.raises(ConfigError, match=expected):
        export_version(content, out=tmp_path / "out", **arguments)
    assert list(tmp_path.iterdir()) == []


@given(st.lists(st.floats(width=32, allow_nan=False, allow_infinity=False), min_size=1))
def test_numbers_read_back_to_the_bit(numbers: list[float]) -> None:
    vectors = np.array([numbers, numbers[::-1]], dtype=np.float32)
    texts = vector_texts(vectors, " ")
    found = np.array([[float(one) for one in text.split(" ")] for text in texts], np.float32)
    assert found.tobytes() == vectors.tobytes()
