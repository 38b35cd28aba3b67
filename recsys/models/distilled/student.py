"""The student of a distillation: two tables of items, trained on histories and a teacher's lists.

An epoch goes through a fixed random partition of the users, in random order. A batch moves all
items by a step of Adam. The denominator of the softmax is exact over a user's own items, which are
those of the history and of the teacher's list, and sampled over the others: one sample a batch,
uniform, where each item stands for as many others as it takes. Where a sample would hold the whole
catalogue, it does, and the softmax is exact.

The work of an epoch is ``6 n_users n_sampled factors`` flops and ``n_users n_sampled``
exponentials, and about ``10 n_own factors`` flops for the ``n_own`` pairs of a user and an own
item. Results do not depend on the number of threads: users are cut into the same blocks for any,
and what these add to an item is summed in their order.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from math import cos, pi
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.threads import Threads, chunks
from recsys.models.distilled.steps import at_length_1, project, take_step, weigh_own
from recsys.models.distilled.teacher import TeacherLists, likelihoods
from recsys.models.spectral.krylov import Dense
from recsys.models.spectral.truncated import multiplier
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.vector import norms_of, unit_rows

if TYPE_CHECKING:  # which is made of students
    from recsys.models.distilled.distilled import Distilled

N_SAMPLED = 4096  # items in a batch: more were not better, fewer were worse
_BATCHES, _LEAST_USERS = 16, 64  # in an epoch, or more if that many steps ask for it; in a batch
_STEPS = 512  # in all: what few epochs lack in number, smaller batches make up for
_BLOCK = 256  # users whose sampled scores a thread holds at a time
_LENGTH = 0.8  # of a vector where training begins
_RATE = 0.4  # times the typical size of a coordinate: the largest step
_WARM_UP = 0.05  # of all steps, in which they grow


@dataclass
class Table:
    """Vectors of items, and what Adam remembers of them."""

    vectors: FloatMatrix  # (n_items, factors)
    _mean: FloatMatrix = field(init=False)
    _square: FloatMatrix = field(init=False)

    def __post_init__(self) -> None:
        self._mean, self._square = np.zeros_like(self.vectors), np.zeros_like(self.vectors)

    def take_step(self, gradient: FloatMatrix, rate: float, number: int, pool: Threads) -> None:
        """Move all vectors by a step of Adam, the one of that number."""

        def work(rows: slice) -> None:
            take_step(
                self.vectors, gradient, self._mean, self._square,
                np.float32(rate), number, rows.start, rows.stop,
            )  # fmt: skip

        pool.map(work, chunks(len(self.vectors)))


@dataclass(eq=False)
class Targets:
    """What some users should rank first: own items, seen and listed, and how much each counts."""

    own: sp.csr_array  # (n_users, n_items): (1 - s) h of what was seen, s q of what is listed
    is_seen: NDArray[np.bool_]  # of each entry of `own`
    history: sp.csr_array  # (n_users, n_items): weights that sum to 1
    share: FloatVector  # (n_users,): s, of the loss; 0 of a user without a list
    importance: FloatVector  # (n_users,); of all users, n_items, so that gradients are around 1

    def of(self, rows: NDArray[np.integer]) -> "Targets":
        """Return those of some users."""
        numbers = _numbered(self.own)[rows]
        return Targets(
            _with(numbers, self.own.data[numbers.data]),
            self.is_seen[numbers.data],
            sp.csr_array(self.history[rows]),
            self.share[rows],
            self.importance[rows],
        )


def targets_of(histories: sp.csr_array, lists: TeacherLists, model: "Distilled") -> Targets:
    """Return what users should rank first; see `Distilled` for the formula.

    Parameters
    ----------
    histories : csr_array, shape (n_users, n_items)
        Weights above 0.
    """
    n_seen = np.diff(histories.indptr)
    total = np.maximum(histories @ np.ones(histories.shape[1], dtype=np.float32), 1e-30)
    history = sp.csr_array(histories, copy=True)
    history.data = (histories.data / np.repeat(total, n_seen)).astype(np.float32)
    is_listed = lists.item_idx >= 0
    share = np.zeros(len(n_seen), dtype=np.float32)
    share[lists.user_idx] = model.teacher_share * is_listed.any(axis=1)
    likely = model.teacher_share * likelihoods(lists, model.list_length)
    rows = np.concatenate(
        [
            np.repeat(np.arange(len(n_seen)), n_seen),
            np.repeat(lists.user_idx, is_listed.sum(axis=1)),
        ]
    )
    order = np.argsort(rows, kind="stable")
    data = np.concatenate([history.data * np.repeat(1 - share, n_seen), likely[is_listed]])
    items = np.concatenate([histories.indices, lists.item_idx[is_listed]])
    indptr = np.concatenate([[0], np.cumsum(np.bincount(rows, minlength=len(n_seen)))])
    importance = np.maximum(n_seen, 1) ** (1 - model.user_exponent) * (n_seen > 0)
    return Targets(
        sp.csr_array((data[order].astype(np.float32), items[order], indptr), shape=histories.shape),
        order < histories.nnz,
        history,
        share,
        (importance * (histories.shape[1] / importance.sum())).astype(np.float32),
    )


def _numbered(matrix: sp.csr_array) -> sp.csr_array:
    """Return the number of each entry in its place."""
    return _with(matrix, np.arange(matrix.nnz))


def _with(matrix: sp.csr_array, data: NDArray[Any]) -> sp.csr_array:
    """Return other entries in the places of a matrix; they are not copied."""
    return sp.csr_array((data, matrix.indices, matrix.indptr), shape=matrix.shape)


class UserBatch:
    """Some users, what they should rank first, and the sparse products that a step takes."""

    def __init__(self, targets: Targets, pool: Threads) -> None:
        self.targets = targets
        own = targets.own
        self.pull = np.zeros(own.nnz, dtype=np.float32)  # of each own item, see `weigh_own`
        by_item = _numbered(own).T.tocsr()
        self._order = by_item.data
        self._pull_by_item = np.zeros(own.nnz, dtype=np.float32)
        self.pulled_by = multiplier(_with(own, self.pull), pool)
        self._pulled_items = multiplier(_with(by_item, self._pull_by_item), pool)
        self.sum_of_history = multiplier(targets.history, pool)
        self.to_history = multiplier(sp.csr_array(targets.history.T.tocsr()), pool)

    def pulled_items(self, users: Dense) -> Dense:
        """Return what users add to the gradient of their own items."""
        np.take(self.pull, self._order, out=self._pull_by_item)
        return self._pulled_items(users)

    def __len__(self) -> int:
        return len(self.targets.share)


class SampledItems(NamedTuple):
    """The items that stand for those that are not a user's own."""

    rows: NDArray[np.integer]  # (n_sampled,)
    place: NDArray[np.int32]  # (n_items,): of each in the sample, -1 of the others
    items: FloatMatrix  # (n_sampled, factors)


class Student:
    """Two tables of items in training."""

    def __init__(
        self,
        model: "Distilled",
        items: FloatMatrix,
        summands: FloatMatrix,
        popularity: NDArray[np.integer],
        pool: Threads,
    ) -> None:
        self.items, self.summands = Table(items), Table(summands)
        self._known = np.flatnonzero(popularity)  # others are neither pulled nor pushed
        self._model, self._pool = model, pool
        self.units = unit_rows(items)  # the items at length 1

    def epochs(self, targets: Targets) -> Iterator[float]:
        """Train for an epoch, and yield its mean loss, until all are done."""
        rng = np.random.default_rng(self._model.seed)
        n_users = len(targets.share)
        n_batches = batches_of(n_users, self._model.iterations)
        parts = np.array_split(rng.permutation(n_users), n_batches)
        batches = [UserBatch(targets.of(rows), self._pool) for rows in parts]
        n_steps = self._model.iterations * n_batches
        number = 0
        for _ in range(self._model.iterations):
            loss = 0.0
            for place in rng.permutation(n_batches):
                number += 1
                rate = _rate(number, n_steps, self._model.factors)
                loss += self._step(batches[place], self.sample(rng), rate, number)
            yield loss / float(targets.importance.sum(dtype=np.float64))

    def sample(self, rng: np.random.Generator) -> SampledItems:
        """Draw the items that stand for others in a batch."""
        rows = self._known
        if len(rows) > N_SAMPLED:
            rows = np.sort(rng.choice(rows, N_SAMPLED, replace=False))
        place = np.full(len(self.units), -1, dtype=np.int32)
        place[rows] = np.arange(len(rows))
        return SampledItems(rows, place, self.units[rows])

    def _step(self, batch: UserBatch, sample: SampledItems, rate: float, number: int) -> float:
        """Move all items by a batch; return its loss."""
        loss, of_items, of_summands = self.gradients(batch, sample)
        self.items.take_step(of_items, rate, number, self._pool)
        self.summands.take_step(of_summands, rate, number, self._pool)
        self._renew_units()
        return loss

    def gradients(
        self, batch: UserBatch, sample: SampledItems
    ) -> tuple[float, FloatMatrix, FloatMatrix]:
        """Return the loss of a batch, and its gradient in items and in summands, times T."""
        means = batch.sum_of_history(self.summands.vectors)
        users = unit_rows(means)
        loss, of_users, of_sampled = self._weighed(batch, users, sample)
        of_users += batch.pulled_by(self.units)
        of_items = batch.pulled_items(users)
        of_items[sample.rows] += of_sampled
        project(of_users, users, means, 0, len(users))
        self._project(of_items)
        return loss, of_items, batch.to_history(of_users)

    def _weighed(
        self, batch: UserBatch, users: FloatMatrix, sample: SampledItems
    ) -> tuple[float, FloatMatrix, FloatMatrix]:
        """Weigh all items for the users of a batch.

        Returns the loss, and what sampled items add to the gradient of the users and of themselves.
        """
        targets, per_temperature = batch.targets, np.float32(1 / self._model.temperature)
        own, of_users = targets.own, np.empty_like(users)

        def work(first: int) -> tuple[float, FloatMatrix]:
            last = min(first + _BLOCK, len(users))
            x, push = users[first:last], np.empty(len(users), dtype=np.float32)
            sampled = x @ sample.items.T  # (n, n_sampled)
            sampled -= 1
            sampled *= per_temperature
            np.exp(sampled, out=sampled)
            loss = weigh_own(
                own.indptr, own.indices, targets.is_seen, own.data, users, self.units,
                per_temperature, len(self._known), sample.place, sampled, targets.share,
                targets.importance, first, last, batch.pull, push,
            )  # fmt: skip
            push = push[first:last, None]
            pushed: FloatMatrix = sampled.T @ (push * x)
            of_users[first:last] = push * (sampled @ sample.items)
            return loss, pushed

        found = self._pool.map(work, range(0, len(users), _BLOCK))
        of_items = found[0][1]
        for _, pushed in found[1:]:
            of_items += pushed
        return float(sum(loss for loss, _ in found)), of_users, of_items

    def _project(self, gradient: FloatMatrix) -> None:
        def work(rows: slice) -> None:
            project(gradient, self.units, self.items.vectors, rows.start, rows.stop)

        self._pool.map(work, chunks(len(gradient)))

    def _renew_units(self) -> None:
        def work(rows: slice) -> None:
            at_length_1(self.items.vectors, rows.start, rows.stop, self.units)

        self._pool.map(work, chunks(len(self.units)))


def batches_of(n_users: int, n_epochs: int) -> int:
    """Return in how many batches an epoch goes through its users."""
    return min(max(n_users // _LEAST_USERS, 1), max(_BATCHES, _STEPS // n_epochs))


def _rate(number: int, n_steps: int, factors: int) -> float:
    """Return how far the step of a number goes: up within the first of them, then down to 0."""
    up = min(1.0, number / (_WARM_UP * n_steps + 1))
    down = (1 + cos(pi * number / n_steps)) / 2
    return float(_RATE * typical_size(factors) * up * down)


def typical_size(factors: int) -> float:
    """Return the typical size of a coordinate where training begins."""
    return float(_LENGTH / factors**0.5)


def of_mean_length(vectors: FloatMatrix) -> FloatMatrix:
    """Return vectors scaled to the mean length with which training begins."""
    lengths = norms_of(vectors)
    mean = float(lengths.sum()) / max(int((lengths > 0).sum()), 1)
    scaled: FloatMatrix = vectors * np.float32(_LENGTH / mean if mean > 0 else 1)
    return scaled
