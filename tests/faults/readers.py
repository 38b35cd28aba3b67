"""Publish and prune a number of versions that are recognized when they are mixed; then end.

python -m tests.faults.readers STORE 100
"""

import sys
from pathlib import Path

import numpy as np

from recsys.settings import IndexSettings
from recsys.store import prune, publish
from recsys.vectors import Embeddings
from tests.store.releases import small_release

N_USERS, N_ITEMS = 12, 30


def release(number: int):
    """A version whose every part holds its number: vectors, titles, and so every score."""
    embeddings = Embeddings(
        np.full((N_USERS, 4), number, np.float32), np.full((N_ITEMS, 4), number, np.float32)
    )
    plain = small_release(N_USERS, N_ITEMS, embeddings=embeddings)
    assert plain.attributes is not None
    titles = [f"{number}"] * N_ITEMS
    attributes = plain.attributes.set_column(1, "title", [titles])
    return small_release(N_USERS, N_ITEMS, embeddings=embeddings, attributes=attributes)


def publish_number(store: Path, number: int) -> None:
    publish(store, release(number), IndexSettings(kind="exact"))
    prune(store, 1)


if __name__ == "__main__":
    for number in range(2, 2 + int(sys.argv[2])):
        publish_number(Path(sys.argv[1]), number)
