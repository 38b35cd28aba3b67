"""What peers and older methods reach: popularity, item-item BM25, EASE, BPR and implicit's ALS.

Settings of BM25 are the best of five, those of BPR of eleven, on later parts of Gowalla's train
part; those of EASE and implicit's ALS are not tuned here: their rows say what they reach at least.
"""

from collections.abc import Callable, Iterator
from functools import partial
from importlib.util import find_spec

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recsys.evaluation import Scorer
from recsys.models import EASE, KNN, Popularity
from recsys.tuning.candidates import BPR
from recsys.vectors import Embeddings


def peers(user_items: sp.csr_array) -> Iterator[tuple[str, Callable[[], Scorer]]]:
    """Yield the name and the fit of each peer that is here."""
    yield "popularity", lambda: Popularity().fit(user_items)
    yield "item-item BM25", partial(KNN().fit, user_items)
    if find_spec("implicit") is not None:
        for factors in (64, 128):
            yield f"implicit ALS {factors}", partial(implicit_als, user_items, factors)
            yield f"implicit BPR {factors}", partial(BPR(factors).fit, user_items)
    yield "EASE", partial(EASE().fit, user_items)


def implicit_als(user_items: sp.csr_array, factors: int) -> Embeddings:
    """Return implicit's ALS."""
    from implicit.cpu.als import AlternatingLeastSquares

    peer = AlternatingLeastSquares(
        factors, regularization=1.0, alpha=100.0, iterations=15, random_state=0
    )
    with threadpool_limits(1, user_api="blas"):
        peer.fit(sp.csr_matrix(user_items), show_progress=False)
    return Embeddings(np.asarray(peer.user_factors), np.asarray(peer.item_factors))
