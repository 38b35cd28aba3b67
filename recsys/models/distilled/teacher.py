"""What a student learns from: a model, given embeddings or what a log allows; and its lists."""

from dataclasses import dataclass, field, replace
from typing import Any, ClassVar, NamedTuple, Protocol, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import ConfigError, DataError
from recsys.base.threads import Threads
from recsys.models.als import ALS
from recsys.models.blend import Blend
from recsys.models.distilled.steps import score_candidates
from recsys.models.protocol import UserItems, checked
from recsys.models.svd import SVD
from recsys.vectors import Embeddings, FloatMatrix, FloatVector, Scorer, top_k
from recsys.vectors.top_k import EXCLUDED

_BLOCK_BYTES = 64 * 1024**2  # of scores that a thread holds at a time
_MANY_COORDINATES = 256  # of a teacher, of which a few may do to find candidates
_MANY_ITEMS = 4096
_COORDINATES = 32  # more at a time
_PER_PLACE = 4  # candidates for each place of a list
_MEASURED, _FOUND = 64, 0.98  # users; the share of their lists that has to be among the candidates
_NO_SIZE = 1e-9  # of the largest: what rounding leaves of a coordinate that nobody has
_NO_DIFFERENCE = 1e-4  # of the largest score: what rounding leaves between equal ones


class Teacher(Protocol):
    """A model, or anything else whose `fit` returns what scores all items for some users."""

    __dataclass_fields__: ClassVar[dict[str, Any]]
    name: ClassVar[str]

    def with_seed(self, seed: int) -> Self:
        """Return the same with another random start, as far as it has any."""

    def fit(self, user_items: UserItems) -> Scorer:
        """Fit it to a matrix of weights (n_users, n_items), or a log where it asks for an order."""


@dataclass(frozen=True)
class Given:
    """What was fitted before, such as embeddings; a config has its name alone."""

    name: ClassVar[str] = "given"

    fitted: Scorer | None = field(
        default=None, repr=False, compare=False, metadata={"is_hyperparameter": False}
    )

    def with_seed(self, seed: int) -> Self:
        """Return the same: nothing is random."""
        return self

    def fit(self, user_items: UserItems) -> Scorer:
        """Return what was fitted, if it has the rows of the matrix."""
        if self.fitted is None:
            raise ConfigError(
                "distilled.teacher: expected a model, got the name of embeddings that were given "
                "in Python, which no config holds; give them again, or name a model"
            )
        expected = checked(user_items).shape
        if self.fitted.shape != expected:
            raise DataError(
                "distilled.teacher: expected embeddings of (users, items) "
                f"{expected}, got {self.fitted.shape}; bring them to the rows of this "
                "matrix with Embeddings.reindexed"
            )
        return self.fitted


_MOST_OF_SVD, _MOST_OF_ALS = 1280, 512
_USERS_PER_FACTOR = 13  # or items, whichever are fewer
_LEAST_FACTORS = 16
_LEAST_DENSITY = 1e-10
_MANY = 512  # factors of an SVD, which find too popular items
_WINDOW = 8  # items, where order counts


def teacher_for(user_items: sp.csr_array, recency: float = 0.0) -> Blend:
    """Return SVD and ALS side by side, with as many factors as the shape of a log allows.

    With a recency, both have it, ALS to a smaller power, and items near one another are related
    more.
    """
    fewer = min(user_items.shape[0], int((np.bincount(user_items.indices) > 0).sum()))
    allowed = max(fewer // _USERS_PER_FACTOR, _LEAST_FACTORS)
    of_svd = min(allowed, _MOST_OF_SVD)
    has_many = of_svd >= _MANY
    return Blend(
        replace(
            als_for(user_items, min(allowed, _MOST_OF_ALS)),
            weight_exponent=0.3 if recency else 1.0,
            recency=recency,
        ),
        SVD(
            factors=of_svd,
            item_exponent=0.45 if has_many else 0.3,
            spectral_power=1.3 if has_many else 1.0,
            recency=recency,
            window=_WINDOW if recency else 0,
        ),
        scale="deviation",
    )


def als_for(user_items: sp.csr_array, factors: int) -> ALS:
    """Return ALS with the weight of unobserved pairs that the density of a log asks for.

    Found on the validation parts of Gowalla and of five smaller logs: the denser a log, the more
    an item that a user has not seen counts as one that the user does not want.
    """
    n_users, n_items = user_items.shape
    density = user_items.nnz / max(n_users * n_items, 1)
    return ALS(
        factors=factors,
        regularization=0.3,
        unobserved_weight=float(f"{0.4 * max(density, _LEAST_DENSITY) ** 0.5:.1g}"),
        item_exponent=0.25,
    )


class TeacherLists(NamedTuple):
    """The lists of some users, best first."""

    user_idx: NDArray[np.integer]  # (n,)
    item_idx: NDArray[np.int32]  # (n, length); a short list ends in -1
    scores: FloatMatrix  # (n, length); a short list ends in minus infinity
    largest: FloatVector  # (n,): the largest size of a score, of all items


def strongest_unseen(
    scorer: Scorer,
    user_items: sp.csr_array,
    user_idx: NDArray[np.integer],
    length: int,
    pool: Threads,
) -> TeacherLists:
    """Return the items that a scorer puts first for some users, without those that they have seen.

    The work is ``2 n_users n_items factors`` flops for embeddings. Where the first coordinates of
    embeddings with many factors, turned, find nearly all, they choose four times as many items as
    are listed, of which all coordinates choose.
    """
    n_items = user_items.shape[1]
    first = first_coordinates(scorer, user_idx, length)
    size = max(1, _BLOCK_BYTES // (4 * n_items))
    blocks = [user_idx[start : start + size] for start in range(0, len(user_idx), size)]

    def work(rows: NDArray[np.integer]) -> tuple[NDArray[np.int32], FloatMatrix, FloatVector]:
        scores = (first or scorer).scores(rows)
        largest = np.maximum(scores.max(axis=1), -scores.min(axis=1))
        seen = sp.coo_array(user_items[rows])
        scores[seen.row, seen.col] = EXCLUDED
        if first is None or not isinstance(scorer, Embeddings):
            return *top_k(scores, length), largest
        candidates = top_k(scores, _PER_PLACE * length)[0]
        full = np.full(candidates.shape, EXCLUDED, dtype=np.float32)
        score_candidates(scorer.users, rows, scorer.items, candidates, full)
        places, found = top_k(full, length)
        items = np.take_along_axis(candidates, places, axis=1)
        return np.where(places >= 0, items, -1), found, largest

    found = pool.map(work, blocks)
    return TeacherLists(user_idx, *(np.concatenate(parts) for parts in zip(*found, strict=True)))


def first_coordinates(
    scorer: Scorer, user_idx: NDArray[np.integer], length: int
) -> Embeddings | None:
    """Return the fewest coordinates that find nearly all that some users' lists hold, or None.

    They are the first singular vectors of the matrix of scores, users times items, which hold as
    much of its squares as so many can (Eckart and Young 1936).
    """
    if not isinstance(scorer, Embeddings) or len(scorer.items) < _MANY_ITEMS:
        return None
    if scorer.factors < _MANY_COORDINATES:
        return None
    to_users, to_items = _turns(scorer.users[user_idx], scorer.items)
    items = scorer.items @ to_items[:, : scorer.factors // 3]
    some = user_idx[:: -(-len(user_idx) // _MEASURED)]
    users, lists = scorer.users[some] @ to_users, top_k(scorer.scores(some), length)[0]
    for n in range(_COORDINATES, items.shape[1] + 1, _COORDINATES):
        found = top_k(users[:, :n] @ items[:, :n].T, _PER_PLACE * length)[0]
        is_found = [np.isin(*pair) for pair in zip(lists, found, strict=True)]
        if np.mean(is_found) >= _FOUND:
            first = np.ascontiguousarray(items[:, :n])
            return Embeddings(scorer.users @ to_users[:, :n], first)
    return None


def _turns(users: FloatMatrix, items: FloatMatrix) -> tuple[FloatMatrix, FloatMatrix]:
    """Return what turns users and items to the singular vectors of their scores, largest first."""
    sizes, turn = np.linalg.eigh((users.T @ users).astype(np.float64))
    has_size = sizes > _NO_SIZE * sizes[-1]
    turn, size = turn[:, has_size], np.sqrt(sizes[has_size])
    of_items = (turn * size).T @ (items.T @ items).astype(np.float64) @ (turn * size)
    last = np.linalg.eigh(of_items)[1][:, ::-1]
    return (turn / size @ last).astype(np.float32), (turn * size @ last).astype(np.float32)


def likelihoods(lists: TeacherLists, length: int) -> FloatMatrix:
    """Return the softmax over the first items of each list, 0 beyond: float32, (n, length of all).

    Scores are in their own deviations over those items. So neither the scale of a teacher nor how
    a user's scores are shifted counts.
    """
    is_first = np.arange(lists.item_idx.shape[1]) < length
    is_listed = (lists.item_idx >= 0) & is_first
    scores = np.where(is_listed, lists.scores, 0).astype(np.float64)
    n = np.maximum(is_listed.sum(axis=1, keepdims=True), 1)
    mean = scores.sum(axis=1, keepdims=True) / n
    deviation = np.sqrt((is_listed * (scores - mean) ** 2).sum(axis=1, keepdims=True) / n)
    least = np.maximum(_NO_DIFFERENCE * lists.largest[:, None], 1e-30)
    scaled = (scores - scores[:, :1]) / np.maximum(deviation, least)
    likely = is_listed * np.exp(np.minimum(scaled, 0))
    likely /= np.maximum(likely.sum(axis=1, keepdims=True), 1e-30)
    return np.asarray(likely, dtype=np.float32)
