"""Embeddings that rank: the softmax over all items of the cosine with the user."""

from collections.abc import Iterator
from dataclasses import dataclass
from time import perf_counter
from typing import ClassVar, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.devices import Device
from recsys.base.threads import Threads, threads
from recsys.features import Features
from recsys.models.als import ALS
from recsys.models.mapped import mapped, with_priors
from recsys.models.protocol import (
    Contributions,
    Epoch,
    FoldIn,
    OnEpoch,
    Sized,
    UserItems,
    in_mean_weights,
    normalized,
    require_hyperparameters,
    require_no_start,
)
from recsys.vectors import Embeddings, FloatMatrix, FloatVector
from recsys.vectors.vector import unit_rows

_START_EPOCHS = 15  # of the ALS that is polished
_FOLD_IN_STEPS = 10
_NO_PULL = 1e-9  # a history that pulls less towards an item explains nothing
# Found on Gowalla: larger steps turn back and forth, smaller ones take more epochs.
_USER_STEP, _ITEM_STEP, _MOMENTUM = 0.3, 0.1, 0.6
_BLOCK = 128  # users whose scores a thread holds at a time
_N_PARTS = 8  # of the users; each has its own sum over items, so that threads change no result
_TINY = 1e-6  # a difference that is this small a part of its terms has no direction


@dataclass(frozen=True)
class Softmax(Sized):
    r"""Embeddings that rank a user's items before all others, by their cosine.

    Minimizes, over unit vectors x and y,

    .. math::

        \sum_u n_u^{-a} \sum_{i \in u} w_{ui}
        \Big( \log \sum_j e^{x_u \cdot y_j / T} - x_u \cdot y_i / T \Big),
        \qquad n_u = \sum_i w_{ui},

    the softmax loss of cosines (Wu et al., TOIS 2024, arXiv 2201.02327), but over all items instead
    of sampled ones. There is no learning rate: at a minimum on the sphere each vector points along
    its negative gradient,

    .. math::

        x_u \propto \sum_i w_{ui} y_i - n_u \sum_j p_{uj} y_j, \qquad
        y_j \propto \sum_u n_u^{-a} (w_{uj} - n_u p_{uj})\, x_u,

    p the softmax, and in an epoch all vectors go part of that way at once, items with momentum. It
    starts from ALS and ends with a fold-in of the users.

    An epoch takes ``6 n_users n_items factors`` flops and ``n_users n_items`` exponentials, and a
    fold-in some more, so this is for catalogues up to about 100,000 items. It holds 8 matrices as
    large as that of the items. The defaults were found on Gowalla, where few factors rank better
    than those of ALS; on denser logs, such as MovieLens, they rank worse.

    Parameters
    ----------
    factors : int
        Dimension of the embeddings.
    temperature : float
        T, above 0.02: the lower, the more the strongest competitors of an item count alone.
    user_exponent : float
        a: above 0, what active users did weighs less.
    iterations : int
        Epochs.
    seed : int
        Of the random start of ALS.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.
    """

    name: ClassVar[str] = "softmax"
    can_warm_start: ClassVar[bool] = False

    factors: int = 64
    temperature: float = 0.1
    user_exponent: float = 0.25
    iterations: int = 18
    seed: int = 0

    def __post_init__(self) -> None:
        require_hyperparameters(
            self,
            least={"factors": 1, "iterations": 1, "seed": 0},
            above={"temperature": 0.02},  # e^(1/T) must fit in float32
            finite=("user_exponent",),
        )

    def fit(
        self,
        user_items: UserItems,
        *,
        start: Embeddings | None = None,
        on_epoch: OnEpoch | None = None,
        features: Features | None = None,
        n_threads: int | None = None,
        device: Device | None = None,
    ) -> Embeddings:
        """Polish an ALS of the same matrix; see `Model.fit`.

        Embeddings are unit vectors, but for zero ones. `n_threads` is one for each usable core by
        default, and does not change the result.
        """
        require_no_start(self.name, start)
        matrix = normalized(user_items)
        has_users = np.bincount(matrix.indices, minlength=matrix.shape[1]) > 0
        items = np.zeros((matrix.shape[1], self.factors), dtype=np.float32)

        def embeddings() -> Embeddings:
            return Embeddings(self._folded_in(matrix, items, n_threads), items.copy())

        if has_users.any():
            known = sp.csr_array(matrix[:, has_users])
            als = self._start().fit(known, n_threads=n_threads, device=device)
            began = perf_counter()
            with threads(n_threads) as pool:
                for number, (loss, polished) in enumerate(self._polished(known, als, pool), 1):
                    items[has_users] = polished
                    seconds, began = perf_counter() - began, perf_counter()
                    epoch = Epoch(number, self.iterations, loss, seconds, embeddings)
                    if on_epoch is not None and on_epoch(epoch):
                        break
        return mapped(embeddings(), user_items, features)

    def fold_in(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> FoldIn:
        """Prepare the steps of users against these items; see `Model.fold_in`.

        An item without users was a zero vector in the fit, and is one here.
        """
        is_known = (np.asarray(popularity) > 0)[:, None]
        fitted = items if is_known.all() else items * is_known
        return with_priors(
            lambda histories: self._folded_in(
                in_mean_weights(histories, mean_weight, len(items)), fitted
            )
        )

    def contributions(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> Contributions:
        r"""Prepare :math:`c\, w_i (y_i \cdot y_j - m)`.

        Where a user rests, x is c times :math:`\sum_i w_i y_i - n \sum_l p_l y_l`; m is the mean of
        :math:`y_l \cdot y_j` by p. As a fold-in ends close to there, c is what makes the
        contributions sum to the score.
        """
        embed = self.fold_in(items, popularity)  # of what is in its unit already
        is_known = np.asarray(items.any(axis=1), dtype=np.float64)

        def contributed(history: sp.csr_array, item_idx: int) -> NDArray[np.float64]:
            clean, item = in_mean_weights(history, mean_weight), items[item_idx]
            user = embed(clean)[0].astype(np.float64)
            scores = (items @ user) / self.temperature
            likely = np.exp(scores - scores.max()) * is_known
            mean = float(likely @ (items @ item)) / max(float(likely.sum()), _NO_PULL)
            rows = clean.indices
            pulls = clean.data * is_known[rows] * (items[rows].astype(np.float64) @ item - mean)
            total = float(pulls.sum())
            share = float(user @ item) / total if abs(total) > _NO_PULL else 0.0
            return np.asarray(share * pulls, dtype=np.float64)

        return contributed

    def _start(self) -> ALS:
        """Return what is polished, with settings that did well on small dimensions."""
        return ALS(
            factors=self.factors,
            regularization=0.1,
            unobserved_weight=0.01,
            item_exponent=0.25,
            iterations=_START_EPOCHS,
            seed=self.seed,
        )

    def _polished(
        self, user_items: sp.csr_array, start: Embeddings, pool: Threads
    ) -> Iterator[tuple[float, FloatMatrix]]:
        """Yield the mean loss before each epoch, and the items after it."""
        users, items = unit_rows(start.users), unit_rows(start.items)
        velocity = np.zeros_like(items)
        weight = _row_sums(user_items)
        importance = np.maximum(weight, np.finfo(np.float32).tiny) ** np.float32(
            -self.user_exponent
        )
        item_users = sp.csr_array(user_items.T.tocsr())
        for _ in range(self.iterations):
            attracted = user_items @ items
            pull = item_users @ (importance[:, None] * users)
            step = step_users(users, items, attracted, weight, importance, self.temperature, pool)
            users, items = step.users, step_items(items, pull, step.pushed, velocity)
            yield step.loss / float(importance @ weight), items

    def _folded_in(
        self, user_items: sp.csr_array, items: FloatMatrix, n_threads: int | None = None
    ) -> FloatMatrix:
        """Return users after some steps from the mean of their items."""
        is_known = items.any(axis=1)
        histories, known = sp.csr_array(user_items[:, is_known]), items[is_known]
        attracted, weight = histories @ known, _row_sums(histories)
        users = unit_rows(attracted)
        if len(known):
            with threads(n_threads) as pool:
                for _ in range(_FOLD_IN_STEPS):
                    users = step_users(
                        users, known, attracted, weight, None, self.temperature, pool
                    ).users
        return users


def _row_sums(matrix: sp.csr_array) -> FloatVector:
    sums: FloatVector = (matrix @ np.ones(matrix.shape[1], dtype=np.float32)).astype(np.float32)
    return sums


class UserStep(NamedTuple):
    """What a step of users brings."""

    users: FloatMatrix  # (n_users, factors): where they are now
    pushed: FloatMatrix  # (n_items, factors): sum_u c_u n_u p_uj x_u, of users where they were
    loss: float  # of the users where they were, weighted by c


def step_users(
    users: FloatMatrix,  # (n_users, factors), unit rows
    items: FloatMatrix,  # (n_items, factors), unit rows
    attracted: FloatMatrix,  # (n_users, factors): sum_i w_ui y_i
    weight: FloatVector,  # (n_users,): n_u = sum_i w_ui
    importance: FloatVector | None,  # (n_users,): c
    temperature: float,
    pool: Threads,
) -> UserStep:
    """Move all users once, part of the way to where they would rest; see `Softmax` for the formula.

    Without `importance` items are not pushed, which is a third of the work.
    """

    def work(rows: slice) -> UserStep:
        pushed = np.zeros(items.shape if importance is not None else (0, 0), dtype=np.float32)
        moved = np.empty_like(users[rows])
        loss = 0.0
        room = np.empty((min(_BLOCK, len(moved)), len(items)), dtype=np.float32)
        for start in range(rows.start, rows.stop, _BLOCK):
            block = slice(start, min(start + _BLOCK, rows.stop))
            x, n = users[block], weight[block, None]
            p = np.matmul(x / np.float32(temperature), items.T, out=room[: len(x)])  # (n, n_items)
            np.exp(p, out=p)
            total = p.sum(axis=1, keepdims=True)  # (n, 1)
            direction = attracted[block] - n * ((p @ items) / total)
            length = np.linalg.norm(direction, axis=1, keepdims=True)
            target = direction / np.maximum(length, _TINY * n + np.finfo(np.float32).tiny)
            here = slice(block.start - rows.start, block.stop - rows.start)
            moved[here] = unit_rows(x + np.float32(_USER_STEP) * (target - x))
            if importance is None:
                continue
            c = importance[block, None]
            p *= c * n / total
            pushed += p.T @ x
            scores = np.einsum("ij,ij->i", attracted[block], x)[:, None] / temperature
            loss += float((c * (n * np.log(total) - scores)).sum())
        return UserStep(moved, pushed, loss)

    size = -(-len(users) // _N_PARTS)
    parts = [slice(s, min(s + size, len(users))) for s in range(0, len(users), size)]
    steps = pool.map(work, parts)
    pushed = steps[0].pushed
    for step in steps[1:]:
        pushed += step.pushed
    return UserStep(
        np.concatenate([step.users for step in steps]), pushed, sum(step.loss for step in steps)
    )


def step_items(
    items: FloatMatrix,  # (n_items, factors), and so are the next three
    pull: FloatMatrix,  # sum_u c_u w_ui x_u
    pushed: FloatMatrix,
    velocity: FloatMatrix,
) -> FloatMatrix:
    """Move all items once, with momentum; `velocity` changes in place."""
    direction = pull - pushed
    least = _TINY * np.linalg.norm(pull, axis=1, keepdims=True) + np.finfo(np.float32).tiny
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    velocity *= np.float32(_MOMENTUM)
    velocity += np.float32(_ITEM_STEP) * (direction / np.maximum(length, least) - items)
    return unit_rows(items + velocity)
