"""Two versions of one log: of a night, and of the next."""

from pathlib import Path

import numpy as np

from recsys.store import Content
from recsys.vectors import Embeddings
from tests.monitoring.nights import a_log, published, release_of

N_TASTES = 4  # item i is of taste i modulo 4


def two_nights(store: Path) -> tuple[Content, Content]:
    """Publish a version, and one whose vectors moved a little: item 0 is where item 1 was."""
    release = release_of(a_log())
    first = published(store, release)
    rng = np.random.default_rng(5)
    embeddings = release.embeddings
    items = embeddings.items + rng.normal(scale=0.003, size=embeddings.items.shape).astype("f4")
    items[0] = embeddings.items[1]
    return first, published(
        store, release_of(a_log(), embeddings=Embeddings(embeddings.users, items))
    )
