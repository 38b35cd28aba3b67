"""Users looked up one at a time: what the tables say, and nothing kept."""

import os
import sys
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.errors import CorruptVersionError
from recsys.store import Content, publish
from recsys.store.serving_files import MAPPED_USERS
from tests.store.releases import ODD_IDS, small_release


def content_of(store: Path, **parts) -> Content:
    return Content.of(publish(store, small_release(**parts)))


@pytest.mark.parametrize("weighted", [False, True])
@pytest.mark.parametrize("user_ids", [ODD_IDS, list(range(-3, 9)), [f"u{n}" for n in range(400)]])
def test_they_are_the_users_of_the_table(tmp_path: Path, user_ids, weighted: bool) -> None:
    rng = np.random.default_rng(1)
    seen = sp.random_array((len(user_ids), 30), density=0.2, rng=rng, format="csr")
    if not weighted:
        seen.data[:] = 1
    content = content_of(tmp_path, n_users=len(user_ids), user_ids=user_ids, seen=seen)
    table, single = content.users, content.user_lookup
    assert (table.seen.weight is not None) == weighted
    for row, user_id in enumerate(user_ids):
        assert single.find(user_id) == single.find(str(user_id)) == row
        assert np.array_equal(single.embedding(row), table.embeddings[row])
        assert np.array_equal(single.seen(row), table.seen[row])
        assert np.array_equal(single.seen_weights(row), table.seen.weights(row))
    assert single.find("nobody") is None


@pytest.mark.skipif(sys.platform != "linux", reason="/proc tells what is mapped")
def test_looking_up_users_maps_nothing(tmp_path: Path) -> None:
    n_users = 20_000
    content = content_of(tmp_path, n_users=n_users, factors=16)
    folder = content.version.folder / MAPPED_USERS
    before = mapped_kb(folder)
    for row in range(0, n_users, 7):
        assert content.user_lookup.find(f"u{row}") == row
        content.user_lookup.embedding(row)
        content.user_lookup.seen(row)
    assert mapped_kb(folder) == before
    content.users.embeddings.sum()  # the twin that maps: what is counted can be seen
    assert mapped_kb(folder) > before


def test_a_file_cut_short_is_named(tmp_path: Path) -> None:
    content = content_of(tmp_path, n_users=5_000)
    path = content.version.folder / MAPPED_USERS / "embeddings.npy"
    path.chmod(0o644)
    os.truncate(path, path.stat().st_size // 2)
    with pytest.raises(CorruptVersionError, match=r"embeddings\.npy: damaged: expected 16 bytes"):
        content.user_lookup.embedding(4_999)


def mapped_kb(folder: Path) -> int:
    """Return how much of the files of a folder this process has in its memory."""
    is_one, total = False, 0
    for line in Path("/proc/self/smaps").read_text().splitlines():
        first = line.split()[0]
        if not first.endswith(":"):
            is_one = str(folder) in line
        elif is_one and first == "Rss:":
            total += int(line.split()[1])
    return total
