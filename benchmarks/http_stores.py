"""The stores that `benchmarks.http` asks: one made up, Gowalla, and one of ten million users."""

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp

from benchmarks.machine import data_folder
from benchmarks.make_store import make, require_space, user_id
from recsys.models import SVD
from recsys.models.protocol import popularity_of
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, Release, publish
from recsys.vectors import Embeddings, Id, Ids

FACTORS, SEEN = 64, 30
MOST_ASKED = 100_000  # users


@dataclass(frozen=True)
class Store:
    """A store, and the users who are asked for, as a path has them."""

    name: str
    folder: Path
    users: list[str]

    def write_users(self, path: Path) -> None:
        """Write them as a table of Lua."""
        path.write_text("return {" + ",".join(json.dumps(user) for user in self.users) + "}\n")


def open_store(name: str, folder: Path, n_users: int, n_items: int) -> Store:
    """Return a store, which is made where the folder does not have it.

    "made" has so many users and items, and "large" ten million and one million.
    """
    users = _PUBLISHERS[name](folder, n_users, n_items)
    rng = np.random.default_rng(7)
    some = rng.choice(len(users), min(MOST_ASKED, len(users)), replace=False)
    return Store(name, folder, [quote(str(users[row]), safe="") for row in some.tolist()])


def _made(folder: Path, n_users: int, n_items: int) -> list[Id]:
    """Publish random embeddings, histories and titles."""
    users: list[Id] = [f"u{row}" for row in range(n_users)]
    if (folder / "CURRENT").exists():
        return users
    rng = np.random.default_rng(0)
    rows = np.repeat(np.arange(n_users), SEEN)
    items = rng.integers(0, n_items, n_users * SEEN)
    seen = sp.csr_array((np.ones(items.size), (rows, items)), (n_users, n_items))
    seen.data[:] = 1
    embeddings = Embeddings(
        rng.standard_normal((n_users, FACTORS), dtype=np.float32),
        rng.standard_normal((n_items, FACTORS), dtype=np.float32)
        * rng.gamma(1.0, 1.0, (n_items, 1)).astype(np.float32),
    )
    _publish(folder, embeddings, Ids(users), Ids([f"i{row}" for row in range(n_items)]), seen)
    return users


def _gowalla(folder: Path, *_: int) -> list[Id]:
    """Publish a spectral model of Gowalla with made-up titles."""
    table = pq.read_table(data_folder() / "gowalla" / "train.parquet", columns=["user", "item"])
    users, items = (table[name].combine_chunks().dictionary_encode() for name in table.column_names)
    listed: list[Id] = users.dictionary.to_pylist()
    if (folder / "CURRENT").exists():
        return listed
    places = np.asarray(users.indices), np.asarray(items.indices)
    shape = len(listed), len(items.dictionary)
    seen = sp.csr_array((np.ones(len(table), dtype=np.float32), places), shape)
    _publish(folder, SVD(FACTORS).fit(seen), Ids(listed), Ids(items.dictionary.to_pylist()), seen)
    return listed


def _large(folder: Path, *_: int) -> list[Id]:
    """Publish what `benchmarks.make_store` makes."""
    n_users, n_items = 10_000_000, 1_000_000
    if not (folder / "CURRENT").exists():
        folder.mkdir(parents=True, exist_ok=True)
        require_space(folder, n_users, n_items, FACTORS)
        make(folder, n_users, n_items, FACTORS)
    some = np.random.default_rng(3).choice(n_users, MOST_ASKED, replace=False)
    return list(map(user_id, some.tolist()))


def _publish(
    folder: Path, embeddings: Embeddings, users: Ids, items: Ids, seen: sp.csr_array
) -> None:
    titles = [f"The title of the item of number {row}" for row in range(len(items))]
    release = Release(
        embeddings,
        users,
        items,
        seen,
        popularity_of(seen),
        ModelSpec("svd", {"factors": FACTORS}),
        attributes=pa.table({"item_id": items.values, "title": titles}),
    )
    publish(folder, release, IndexSettings(kind="exact"))


_PUBLISHERS: dict[str, Callable[[Path, int, int], list[Id]]] = {
    "made": _made,
    "gowalla": _gowalla,
    "large": _large,
}
