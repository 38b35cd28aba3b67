"""A small model that ranks like a large one: a softmax on the lists of a teacher."""

from dataclasses import dataclass, replace
from time import perf_counter
from typing import ClassVar, Self

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.checks import require, require_whole
from recsys.base.devices import Device, on_device
from recsys.base.errors import ConfigError, DataError, briefly
from recsys.base.threads import threads
from recsys.features import Features
from recsys.logs.interactions import Interactions
from recsys.models.distilled.student import (
    N_SAMPLED,
    Student,
    Targets,
    of_mean_length,
    targets_of,
    typical_size,
)
from recsys.models.distilled.teacher import Given, Teacher, strongest_unseen, teacher_for
from recsys.models.mapped import mapped, with_priors
from recsys.models.protocol import (
    Contributions,
    Epoch,
    FoldIn,
    OnEpoch,
    Sized,
    UserItems,
    checked,
    normalized,
    popularity_of,
    require_hyperparameters,
    takes_order,
)
from recsys.models.requirements import takes_dislikes
from recsys.models.svd import SVD
from recsys.vectors import Embeddings, FloatMatrix, Scorer
from recsys.vectors.vector import unit_rows

MOST_WORK = 5e13  # flops of lists and epochs: beyond, a sample of the users is trained on
_FACTORS_OF_SCORER = 64  # that what has none takes as much time as
_LISTED = 100  # items of the teacher that the denominator is exact over, and at least
_NOISE = 0.03  # of the start, times the typical size of a coordinate
_NO_LENGTH = 1e-9  # of a sum of summands that has no direction


@dataclass(frozen=True)
class Distilled(Sized):
    r"""Embeddings of few factors that rank like a large model: they are trained on its lists.

    A teacher, which is any model, puts the items that a user has not seen in order. Of its first
    `list_length` items :math:`L_u` the student learns how likely each is,
    :math:`q_u = \mathrm{softmax}(t_u / \mathrm{deviation}(t_u))` over their scores t, and of the
    history :math:`H_u` what the user chose, :math:`h_{ui} = w_{ui} / \sum_j w_{uj}`. It minimizes

    .. math::

        \sum_u n_u^{1-a} \Big( (1-s) \big( \log \sum_j e^{x_u \cdot y_j / T}
        - \sum_i h_{ui}\, x_u \cdot y_i / T \big)
        + s \big( \log \sum_{j \notin H_u} e^{x_u \cdot y_j / T}
        - \sum_i q_{ui}\, x_u \cdot y_i / T \big) \Big)

    over unit vectors of items, y, and of users, which are sums over the history:

    .. math::

        x_u = \sum_i w_{ui} z_i \Big/ \Big| \sum_i w_{ui} z_i \Big|

    z is a second table, the `summands` of the embeddings: a fold-in is exact, and what each item
    of a history adds to a score sums to it. After training, those of an item of n users shrink to
    n / (n + 1), as what few users taught is the more chance. Distillation of rankings as in Tang
    and Wang, KDD 2018 (arXiv 1809.07428), with the softmax of cosines of `Softmax`, and linear
    users as in FISM (Kabbur, Ning, Karypis, KDD 2013).

    Dislikes count through the teacher, and no list holds what its user disliked. The denominator is
    sampled where the catalogue is large, see `recsys.models.distilled.student`.
    The teacher is fitted first; its lists take ``2 n_users n_items factors`` flops. Where these and
    the epochs would take more than 5e13, some five minutes on two cores, a random sample of the
    users trains the items, as many as that allows: users are sums of items, so that the others need
    no training. On MovieLens a tenth of the users, 600, kept 94 % of the ndcg. Besides the tables
    the memory is some 4 kB for each user that trains. The result does not depend on the number of
    threads.

    Parameters
    ----------
    factors : int
        Dimension of the embeddings.
    teacher : model or Embeddings, optional
        What the lists come from. Default: SVD and ALS side by side, as large as the log allows, see
        `recsys.models.distilled.teacher_for`.
    temperature : float
        T, above 0.02: the lower, the more the strongest competitors of an item count alone.
    teacher_share : float
        s, 0 to 1: what users chose themselves is little beside 50 items, and new users gain from
        a large share.
    list_length : int
        Items of the teacher's list that the student learns to rank.
    user_exponent : float
        a: above 0, what active users did weighs less.
    weight_exponent : float
        0 counts all interactions alike, 1 takes weights w as they are.
    recency : float
        Above 0, the weights w fall with the steps back in the history, to this power, before the
        exponent is; see `Interactions.user_items`. So has the default teacher.
    iterations : int
        Epochs. Few are of more batches: on Gowalla 8 reach what 20 do.
    most_users : int, optional
        Users that train the items: a random sample where there are more. Of Gowalla's 30,000,
        15,000 kept 97 %, and 5,000 kept 90 % of the ndcg on a validation part. Default: as many
        as 5e13 flops allow.
    seed : int
        Of the start, the batches and the samples.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.
    """

    name: ClassVar[str] = "distilled"
    can_warm_start: ClassVar[bool] = True

    factors: int = 64
    teacher: Teacher | Embeddings | None = None
    temperature: float = 0.07
    teacher_share: float = 0.8
    list_length: int = 50
    user_exponent: float = 0.25
    weight_exponent: float = 0.5
    recency: float = 0.0
    iterations: int = 40
    most_users: int | None = None
    seed: int = 0

    def __post_init__(self) -> None:
        if isinstance(self.teacher, Embeddings):
            object.__setattr__(self, "teacher", Given(self.teacher))
        if self.teacher is not None and not hasattr(self.teacher, "fit"):
            raise ConfigError(f"distilled.teacher: expected a model, got {briefly(self.teacher)}")
        require_hyperparameters(
            self,
            least={
                **dict.fromkeys(("factors", "list_length", "iterations"), 1),
                **dict.fromkeys(("teacher_share", "weight_exponent", "recency", "seed"), 0),
            },
            above={"temperature": 0.02},  # e^(1/T) must fit in float32
            finite=("user_exponent",),
        )
        require("distilled.teacher_share", self.teacher_share, at_most=1)
        if self.most_users is not None:
            require_whole("distilled.most_users", self.most_users, least=1)

    def with_seed(self, seed: int) -> Self:
        """Return the model with another random start, of the teacher as well."""
        teacher = self._teacher
        return replace(
            self, seed=seed, teacher=None if teacher is None else teacher.with_seed(seed)
        )

    def fit(
        self,
        user_items: UserItems,
        *,
        start: Embeddings | None = None,
        on_epoch: OnEpoch | None = None,
        features: Features | None = None,
        n_threads: int | None = None,
        learning: NDArray[np.integer] | None = None,
        device: Device | None = None,
    ) -> Embeddings:
        """Fit the teacher, then a student of its lists; see `Model.fit`.

        Embeddings are unit vectors, but for zero ones, and have `summands`. A `start` is where the
        student begins. `n_threads` is one for each usable core by default, and does not change the
        result. `learning` are the rows of the users that train the items, all or a random sample
        by default.
        """
        matrix = normalized(user_items)
        popularity = popularity_of(matrix)
        recent = normalized(user_items, self.recency) if self.recency else matrix
        histories = self._powered(recent)
        if not matrix.nnz:
            nothing = np.zeros((matrix.shape[1], self.factors), dtype=np.float32)
            found = self._embeddings(histories, popularity, nothing, nothing)
            return mapped(found, user_items, features)
        items, summands = self._first(matrix, start)
        with on_device(device):
            targets = self._targets(user_items, matrix, histories, learning, n_threads)
        with threads(n_threads) as pool:
            student = Student(self, items, summands, popularity, pool)
            began = perf_counter()
            for number, loss in enumerate(student.epochs(targets), 1):
                seconds, began = perf_counter() - began, perf_counter()
                epoch = Epoch(
                    number,
                    self.iterations,
                    loss,
                    seconds,
                    lambda: self._embeddings(
                        histories, popularity, student.units, student.summands.vectors
                    ),
                )
                if on_epoch is not None and on_epoch(epoch):
                    break
        found = self._embeddings(histories, popularity, student.units, student.summands.vectors)
        return mapped(found, user_items, features)

    def fold_in(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> FoldIn:
        """Prepare the sum over a history at length 1; see `Model.fold_in`.

        Neither the items nor the unit of the weights counts.
        """
        added = _required(summands)
        return with_priors(
            lambda histories: unit_rows(self._powered(checked(histories, len(added))) @ added)
        )

    def contributions(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> Contributions:
        """Prepare the summands of a user, each times the item."""
        added = _required(summands)

        def contributed(history: sp.csr_array, item_idx: int) -> NDArray[np.float64]:
            powered = self._powered(checked(history, len(added)))
            parts = powered.data[:, None] * added[powered.indices].astype(np.float64)
            length = max(float(np.linalg.norm(parts.sum(axis=0))), _NO_LENGTH)
            return np.asarray(parts @ items[item_idx] / length, dtype=np.float64)

        return contributed

    @property
    def learns_dislikes(self) -> bool:
        """Whether the teacher takes dislikes; a fold-in does not."""
        return self._teacher is None or takes_dislikes(self._teacher)

    @property
    def _teacher(self) -> Teacher | None:
        """The teacher; embeddings have become one."""
        return None if isinstance(self.teacher, Embeddings) else self.teacher

    def _powered(self, matrix: sp.csr_array) -> sp.csr_array:
        data = matrix.data**self.weight_exponent
        return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)

    def _embeddings(
        self,
        histories: sp.csr_array,
        popularity: NDArray[np.integer],
        units: FloatMatrix,
        summands: FloatMatrix,
    ) -> Embeddings:
        """Return a copy of what was trained; an item without users is zero."""
        n = popularity.astype(np.float32)[:, None]
        added = summands * (n / (n + 1))
        return Embeddings(unit_rows(histories @ added), units * (n > 0), added)

    def _first(
        self, matrix: sp.csr_array, start: Embeddings | None
    ) -> tuple[FloatMatrix, FloatMatrix]:
        """Return items and summands where training begins: at a start, or near an SVD."""
        size = np.float32(typical_size(self.factors))
        rng = np.random.default_rng(self.seed)
        noise = size * rng.standard_normal((2, matrix.shape[1], self.factors), dtype=np.float32)
        if start is None:
            items, summands = self._of_svd(matrix)
            noise *= np.float32(_NOISE)
        else:
            _require_start(start, (*matrix.shape, self.factors))
            items, summands = start.items, _required(start.summands)
            noise *= 1 - _has_direction(items)  # but of new items
        first = (of_mean_length(unit_rows(items)), of_mean_length(summands))
        return first[0] + noise[0], first[1] + noise[1]

    def _of_svd(self, matrix: sp.csr_array) -> tuple[FloatMatrix, FloatMatrix]:
        """Return the items of an SVD, and what each adds to a user."""
        svd = SVD(self.factors, seed=self.seed)
        items = svd.fit(matrix).items
        one_each = sp.csr_array(sp.eye_array(len(items), dtype=np.float32))
        return items, svd.fold_in(items, popularity_of(matrix))(one_each)

    def _targets(
        self,
        log: UserItems,
        matrix: sp.csr_array,
        histories: sp.csr_array,
        learning: NDArray[np.integer] | None,
        n_threads: int | None,
    ) -> Targets:
        """Fit the teacher, and return what users, or a sample of them, learn from its lists.

        No list holds what its user disliked.
        """
        teacher = teacher_for(matrix, self.recency) if self._teacher is None else self._teacher
        seen = matrix
        if isinstance(log, Interactions) and log.dislikes is not None:
            seen = log.user_items(signed=True)
        scorer = teacher.fit(log if takes_order(teacher) or seen is not matrix else matrix)
        users = np.flatnonzero(np.diff(matrix.indptr)) if learning is None else learning
        allowed = max(int(MOST_WORK / self._work_of_user(scorer, matrix.shape[1])), 1)
        most = min(allowed, self.most_users or allowed)
        if len(users) > most:
            rng = np.random.default_rng(self.seed)
            users = np.sort(rng.choice(users, most, replace=False))
        with threads(n_threads) as pool:
            length = max(_LISTED, self.list_length)
            lists = strongest_unseen(scorer, seen, users, length, pool)
        lists = lists._replace(user_idx=np.arange(len(users)))
        return targets_of(sp.csr_array(histories[users]), lists, self)

    def _work_of_user(self, scorer: Scorer, n_items: int) -> float:
        """Return the flops that the list and the epochs of a user take."""
        of_list = 2 * n_items * getattr(scorer, "factors", _FACTORS_OF_SCORER)
        of_epoch = 6 * min(n_items, N_SAMPLED) * self.factors
        return float(of_list + self.iterations * of_epoch)


def _has_direction(vectors: FloatMatrix) -> FloatMatrix:
    """Return 1 for each row that is not zero, else 0, (n, 1)."""
    return np.asarray(vectors.any(axis=1), dtype=np.float32)[:, None]


def _required(summands: FloatMatrix | None) -> FloatMatrix:
    if summands is None:
        raise DataError(
            "distilled: expected summands of the items, got none; take them from the embeddings "
            "that the fit returned, or from the column summand of items.parquet"
        )
    return summands


def _require_start(start: Embeddings, expected: tuple[int, int, int]) -> None:
    got = (*start.shape, start.factors)
    if got != expected:
        raise DataError(
            f"distilled: expected a start of (users, items, factors) {expected}, got {got}; bring "
            "it to the rows of this matrix with Embeddings.reindexed"
        )
