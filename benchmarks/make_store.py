"""A store of random embeddings, of any size."""

import shutil
import sys
from pathlib import Path

import numpy as np
import pyarrow as pa
import scipy.sparse as sp

from recsys.settings import IndexSettings, IndexStorage
from recsys.store import ModelSpec, Release, publish
from recsys.vectors import Embeddings, FloatMatrix, Ids

N_SEEN = 10
AT_ONCE = 500_000  # users


def user_id(row: int) -> str:
    """Return the id of a user."""
    return f"user-{row:08d}"


def make(
    store: Path, n_users: int, n_items: int, factors: int, storage: IndexStorage = "float32"
) -> None:
    """Publish a version of random embeddings."""
    rng = np.random.default_rng(0)
    seen = random_seen(n_users, n_items, rng)
    release = Release(
        embeddings=Embeddings(
            random_vectors(n_users, factors, rng), random_vectors(n_items, factors, rng)
        ),
        users=ids("user", n_users),
        items=ids("item", n_items),
        seen=seen,
        popularity=np.bincount(seen.indices, minlength=n_items),
        model=ModelSpec("als", {"factors": factors}),
    )
    settings = IndexSettings(kind="exact", similar_users=False, storage=storage)
    publish(store, release, settings, progress=True)


def random_vectors(n: int, factors: int, rng: np.random.Generator) -> FloatMatrix:
    """Return normal vectors whose lengths spread like those of ALS over a million items."""
    vectors = rng.standard_normal((n, factors), dtype=np.float32)
    vectors *= rng.lognormal(-1, 0.75, (n, 1)).astype(np.float32)
    return vectors


def random_seen(n_users: int, n_items: int, rng: np.random.Generator) -> sp.csr_array:
    """Return some ten items of each user, a few users at a time."""
    counts, item_idx = [], []
    for first in range(0, n_users, AT_ONCE):
        n = min(AT_ONCE, n_users - first)
        users = np.repeat(np.arange(n), 1 + rng.poisson(N_SEEN - 1, n))
        pairs = np.unique(users * n_items + rng.integers(n_items, size=len(users)))
        counts.append(np.bincount(pairs // n_items, minlength=n))
        item_idx.append((pairs % n_items).astype(np.int32))
    indices = np.concatenate(item_idx)
    indptr = np.concatenate([[0], np.cumsum(np.concatenate(counts))]).astype(np.int32)
    ones = np.ones(len(indices), dtype=np.int8)
    return sp.csr_array((ones, indices, indptr), shape=(n_users, n_items))


def ids(kind: str, n: int) -> Ids:
    """Return ids such as user-00000042."""
    parts = [
        pa.array([f"{kind}-{row:08d}" for row in range(first, min(first + AT_ONCE, n))])
        for first in range(0, n, AT_ONCE)
    ]
    return Ids(pa.chunked_array(parts, pa.string()).cast(pa.large_string()))


def require_space(folder: Path, n_users: int, n_items: int, factors: int) -> None:
    """Stop where the store would not fit."""
    vector = 2 * 4 * factors + 80  # Parquet and a copy to map; ids twice, and their table
    needed = n_users * (vector + 8 * N_SEEN) + n_items * (vector + 2 * factors)
    needed += needed // 4
    free = shutil.disk_usage(folder).free
    if free < needed:
        sys.exit(
            f"{folder}: expected {needed / 1e9:.1f} GB of free space, got {free / 1e9:.1f}; "
            "set TMPDIR to another disk, or ask for fewer users"
        )
