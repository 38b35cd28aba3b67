"""The list of a user in one call, beside the same list by its slow twin."""

import ctypes
import json
import math

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp
from hypothesis import example, given
from hypothesis import strategies as st

from recsys.index import compiled
from recsys.serving.answers import Answers
from recsys.serving.plain_lists import PlainLists
from recsys.serving.row_lists import RowLists
from recsys.settings import IndexSettings
from recsys.store import Content, publish
from recsys.store.item_json import ItemJson, json_of
from recsys.vectors import Embeddings
from tests.store.releases import ODD_IDS, small_release

TITLES = ['"quoted" \\ title', None, "é 🦄\n", ""]


def opened(folder, index: IndexSettings | None = None, **changes) -> Content:
    return Content.of(publish(folder, small_release(**changes), index))


def twin(content: Content, user_id: str | int, k: int) -> dict | None:
    """What `PlainLists.json` says, by the way that all other lists go."""
    rows = RowLists(content, content.items, Answers(content))
    found = rows.recommend(user_id, rows.request(k))
    if found.source != "personal":
        return None
    titles = [None] * len(content.items.ids)
    if content.attributes is not None:
        titles = content.attributes["title"].to_pylist()
    items = [
        {"item_id": content.items.ids[row]}
        | ({} if titles[row] is None else {"title": titles[row]})
        | ({} if content.items.popularity[row] else {"new_item": True})
        | {"score": score}
        for row, score in zip(found.rows.tolist(), found.scores.tolist(), strict=True)
    ]
    return {"items": items, "source": "personal", "version": content.version.name}


def compare(content: Content, user_ids) -> None:
    lists = PlainLists.of(content)
    for user_id in [*user_ids, "nobody", "7", "x" * 2000]:
        for k in (1, 7, 1000):
            found, expected = lists.json(user_id, k), twin(content, user_id, k)
            if len(str(user_id)) <= 1024:
                assert (None if found is None else json.loads(found)) == expected, user_id
            else:
                assert found is None


def titled(n_items: int = 30):
    item_ids = [*ODD_IDS, *(f"i{row}" for row in range(n_items - len(ODD_IDS)))]
    titles = [TITLES[row % len(TITLES)] for row in range(n_items)]
    return {"item_ids": item_ids, "attributes": pa.table({"item_id": item_ids, "title": titles})}


@pytest.mark.parametrize("storage", ["float32", "int8"])
def test_it_is_the_list_of_its_twin(tmp_path, storage: str) -> None:
    settings = IndexSettings(kind="exact", storage=storage)
    user_ids = [*ODD_IDS, "u1", "u2"]
    content = opened(tmp_path, settings, user_ids=user_ids, **titled())
    compare(content, user_ids)


def test_it_is_so_for_integers_a_forest_and_items_without_titles(tmp_path) -> None:
    ids = {"user_ids": list(range(-3, 57)), "item_ids": list(range(5, 205))}
    content = opened(tmp_path, IndexSettings(trees=2), n_users=60, n_items=200, titles=False, **ids)
    compare(content, [str(user_id) for user_id in range(-5, 60)])


def test_what_is_out_of_the_ordinary_is_left_to_the_other_way(tmp_path) -> None:
    n_items = 9000  # one user has seen more than there is room for, another has no signal
    seen = sp.csr_array(np.vstack([np.ones(n_items), np.zeros(n_items)]))
    vectors = np.ones((n_items, 4), dtype=np.float32)
    embeddings = Embeddings(np.array([[1, 1, 1, 1], [0, 0, 0, 0]], dtype=np.float32), vectors)
    content = opened(
        tmp_path,
        IndexSettings(kind="exact"),
        n_users=2,
        n_items=n_items,
        seen=seen,
        embeddings=embeddings,
    )
    lists = PlainLists.of(content)
    assert lists.json("u0", 5) is None
    assert lists.json("u1", 5) is None
    assert lists.json("u1", 2000) is None


@pytest.mark.parametrize("damage", ["seen", "json_starts", "ids"])
def test_a_damaged_file_leads_nowhere(tmp_path, damage: str) -> None:
    version = publish(tmp_path, small_release(), IndexSettings(kind="exact"))
    content = Content.of(version)
    files = {"seen": "users/seen_items.npy", "json_starts": "items/json_starts.npy"}
    path = version.folder / "serving" / files.get(damage, "users/ids.arrow")
    data = bytearray(path.read_bytes())
    if damage == "ids":
        data = data.replace(b"u0u1u2", b"x0x1x2")
    else:
        data[-len(data) + 128 :] = b"\x7f" * (len(data) - 128)
    path.chmod(0o600)
    path.write_bytes(data)
    assert PlainLists.of(content).json("u1", 5) is None


@given(st.floats(width=32))
@example(1e-5)
@example(0.1)
@example(1e9)
@example(9.999999974752427e-07)
@example(16777216.0)
def test_a_number_is_read_as_the_same_float(number: float) -> None:
    number = float(np.float32(number))
    room = ctypes.create_string_buffer(64)
    n = compiled.library.write_number(number, room)
    found = json.loads(room.raw[:n])
    assert found == (number if math.isfinite(number) else None)
    assert found is None or isinstance(found, float)


def test_the_json_of_items_is_read_from_the_file_of_the_version(tmp_path) -> None:
    content = opened(tmp_path, IndexSettings(kind="exact"), **titled())
    written = ItemJson.open(content.version.folder, 30)
    titles = content.attributes["title"].to_pylist()
    for row, item_id in enumerate(content.items.ids.values.to_pylist()):
        is_new = content.items.popularity[row] == 0
        assert written[row] == json_of(item_id, titles[row], is_new=is_new)
        known = json.loads(written[row] + b"0}")
        assert known["item_id"] == item_id
        assert known.get("title") == titles[row]
