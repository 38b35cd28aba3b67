"""ALS on a CUDA card: what `recsys.models.als.sweep` does on the CPU, and when it does it.

The method is the same. The vectors that a half-sweep gathers are bfloat16 instead of scaled
float16: it has the range of float32, and the loss was the same to five digits. The dense part of a
residual is exact in any basis, ``pulls = X G``, so that the eigenbasis is found anew in the first
epochs and rarely later; its decomposition is that of the CPU.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING, Any

import numpy as np
import scipy.sparse as sp

from recsys.base.devices import Device
from recsys.base.errors import ConfigError
from recsys.base.packing import row_sums, transposed
from recsys.base.signed import has_dislikes
from recsys.base.stopping import check_stop
from recsys.base.threads import threads
from recsys.cuda import csr
from recsys.cuda.backend import Array, Backend
from recsys.cuda.csr import RowParts
from recsys.cuda.device import card_for
from recsys.cuda.rows import (
    Number,
    Plan,
    Schedule,
    System,
    program_of,
    rounded,
    widened,
    width_of,
)
from recsys.features import Features
from recsys.models.als.basis import basis_of
from recsys.models.als.sweep import (
    EXACT_STEPS,
    first_items,
    item_regularization,
    user_terms,
    weighted,
)
from recsys.vectors import Embeddings, FloatMatrix

if TYPE_CHECKING:
    from recsys.models.als.als import ALS

_CHUNK = 65_536  # rows of a product: bounds what lies beside the vectors, and sums in float64
_COPIES = 3  # of all vectors: themselves, their pulls, and what a product needs
_PARTS_IN_ROOM = 4  # of the memory that is left, a part of a large log takes one


_TURNING_EPOCHS = 3  # in which both half-sweeps turn both sides
_TURNED_EVERY = 4  # later epochs, before the users; an older basis is hardly the eigenbasis
_LEFT = 1e-6  # the share of its first residual that the last solve of a user may leave
_WORTH = 1e10  # pairs times factors times epochs; the CPU takes seconds, as CuPy does to begin


def sweeps_on_card(
    als: "ALS",
    user_items: sp.csr_array,
    start: Embeddings | None,
    features: Features | None,
    device: Device,
) -> "CardSweeps | None":
    """Return the epochs of a fit on a card; None where the CPU runs them."""
    if device == "cpu":
        return None
    if features is not None or has_dislikes(user_items):
        if device == "cuda":
            what = "attributes" if features is not None else "dislikes"
            raise ConfigError(
                f'device: expected "cpu" or "auto" for a fit with {what}, which a card does not '
                'do, got "cuda"; take one of them (--device cpu, [compute] device)'
            )
        return None
    work = float(user_items.nnz) * als.factors * als.iterations
    backend = card_for(device, work, _WORTH)
    if backend is None:
        return None
    try:
        return CardSweeps(backend, als, user_items, start)
    except ConfigError:  # more than the card can do
        if device == "cuda":
            raise
        return None


@dataclass(eq=False)
class CardSide:
    """Users or items on a card: their interactions, and their vectors so far."""

    backend: Backend
    parts: RowParts
    vectors: Array  # float32 (n_rows, width)
    regularization: Array  # float32 (n_rows,), above 0
    scale: Array  # float32 (n_rows,): weight of a row's unobserved pairs, in unobserved weights
    schedule: Schedule

    @cached_property
    def _held(self) -> list[Plan]:
        return [Plan.of(self.backend, rows, self.schedule) for rows in self.parts]

    def plans(self) -> Iterator[Plan]:
        """Yield the launches of the rows, part by part."""
        if self.parts.are_held:
            yield from self._held
            return
        for rows in self.parts:
            yield Plan.of(self.backend, rows, self.schedule)

    @cached_property
    def is_scaled(self) -> bool:
        """Whether a row's unobserved pairs weigh other than 1."""
        return bool(self.backend.to_host((self.scale != 1).any()))

    def penalty(self) -> float:
        """Return ``sum regularization |x|^2``."""
        xp = self.backend.xp
        squares = xp.einsum("ij,ij->i", self.vectors, self.vectors)
        return float((self.regularization.astype(np.float64) * squares).sum())


class CardSweeps:
    """The epochs of a fit on a card.

    Parameters
    ----------
    backend : Backend
    als : ALS
    user_items : csr_array, shape (n_users, n_items)
        Normalized, as the fit takes it.
    start : Embeddings, optional
        Where to begin.
    schedule : Schedule, optional
        How rows are cut.

    Raises
    ------
    ConfigError
        If the card does not hold the vectors, or has no kernels for so many factors.
    """

    def __init__(
        self,
        backend: Backend,
        als: "ALS",
        user_items: sp.csr_array,
        start: Embeddings | None = None,
        schedule: Schedule | None = None,
    ) -> None:
        self._backend, self._factors = backend, als.factors
        self._unobserved_weight = als.unobserved_weight
        self._width = width_of(als.factors)
        first = first_items(als, user_items.shape, start)
        weights = weighted(als, user_items)
        room = _COPIES * 4 * self._width * sum(user_items.shape)
        _require_room(backend, room)
        users, items, of_users, of_items = _parts_of(backend, weights, room)
        regularization, scale = user_terms(als, user_items, of_users)

        def side(parts: RowParts, vectors: Array, regularization: Any, scale: Any) -> CardSide:
            on_card = backend.xp.asarray
            cut = schedule or Schedule()
            return CardSide(backend, parts, vectors, on_card(regularization), on_card(scale), cut)

        n_users, n_items = user_items.shape
        begun = self._padded(n_users, None if start is None else start.users)
        self.users = side(users, begun, regularization, scale)
        of_items, ones = item_regularization(als, of_items, scale), np.ones(n_items, np.float32)
        self.items = side(items, self._padded(n_items, first), of_items, ones)

    def epoch(self, number: int, steps: tuple[int, int]) -> float:
        """Solve the users, then the items; return the loss."""
        is_early = number <= _TURNING_EPOCHS
        is_turned = is_early or number % _TURNED_EVERY == 0
        self._half_sweep(self.users, self.items, steps[0], is_turned=is_turned)
        loss = self._half_sweep(self.items, self.users, steps[1], is_turned=is_early)
        return loss + self.users.penalty()

    def solve_users(self) -> None:
        """Solve the users in float32 from zero, in the eigenbasis of the items."""
        self.users.vectors[:] = 0
        self._half_sweep(self.users, self.items, EXACT_STEPS, is_turned=True, tolerance=_LEFT)

    def embeddings(self) -> Embeddings:
        """Return both sides as they are, in arrays of their own."""
        return Embeddings(*(self._trimmed(side.vectors) for side in (self.users, self.items)))

    def _half_sweep(
        self,
        rows: CardSide,
        fixed: CardSide,
        steps: int,
        *,
        is_turned: bool,
        tolerance: float | None = None,
    ) -> float:
        """Solve one side with the other fixed, which is rounded unless there is a tolerance."""
        check_stop()
        backend, xp = self._backend, self._backend.xp
        if is_turned:
            self._turn(self._gram(fixed.vectors, fixed))
        number: Number = "Float32"
        columns = fixed.vectors
        if tolerance is None:
            number, columns = "Bfloat16", rounded(backend, self._width, fixed.vectors)
        dense = (self._unobserved_weight * self._gram(columns, fixed)).astype(np.float32)
        diagonal = xp.ascontiguousarray(xp.diagonal(dense))
        loss = xp.zeros((), dtype=np.float64)
        for plan in rows.plans():
            own = slice(plan.rows.first, plan.rows.first + len(plan.rows))
            vectors = rows.vectors[own]
            vectors[plan.empty] = 0
            losses = xp.zeros(len(vectors), dtype=np.float32)
            system = System(
                columns, vectors, vectors @ dense, diagonal, rows.scale[own],
                rows.regularization[own], losses, steps, tolerance or 0.0,
            )  # fmt: skip
            queues = plan.queues(backend, system, self._width)
            backend.run(program_of(self._width, number), queues)
            loss = loss + losses.sum(dtype=np.float64)
        return float(loss)

    def _gram(self, vectors: Array, side: CardSide) -> Array:
        """Return ``F' diag(scale) F``, float64 (width, width), of vectors as they are gathered."""
        xp = self._backend.xp
        total = xp.zeros((self._width, self._width), dtype=np.float64)
        for start in range(0, len(vectors), _CHUNK):
            own = slice(start, start + _CHUNK)
            chunk = vectors[own]
            if chunk.dtype == np.uint16:
                chunk = widened(chunk)
            if side.is_scaled:
                chunk = chunk * xp.sqrt(side.scale[own, None])
            total += chunk.T @ chunk
        return total

    def _turn(self, gram: Array) -> None:
        """Turn both sides into the eigenbasis of a Gram matrix, chunk by chunk."""
        _, basis = basis_of(self._backend.to_host(gram), self._factors)
        on_card = self._backend.xp.asarray(basis)
        for side in (self.users, self.items):
            for start in range(0, len(side.vectors), _CHUNK):
                chunk = side.vectors[start : start + _CHUNK]
                chunk[:] = chunk @ on_card

    def _padded(self, n_rows: int, vectors: FloatMatrix | None) -> Array:
        """Bring vectors to the card, with columns of zeros added; None is zeros."""
        wide = self._backend.xp.zeros((n_rows, self._width), dtype=np.float32)
        if vectors is not None:
            wide[:, : self._factors] = self._backend.xp.asarray(vectors)
        return wide

    def _trimmed(self, vectors: Array) -> FloatMatrix:
        trimmed = self._backend.xp.ascontiguousarray(vectors[:, : self._factors])
        return np.array(self._backend.to_host(trimmed))


def _require_room(backend: Backend, n_bytes: int) -> None:
    if n_bytes > backend.free_bytes:
        needed, free = n_bytes / 2**30, backend.free_bytes / 2**30
        raise ConfigError(
            f"device: expected a card with {needed:.1f} GB free for the vectors of all users and "
            f'items, got {free:.1f} GB; lower als.factors, or take device = "cpu" (--device cpu)'
        )


def _parts_of(
    backend: Backend, weights: sp.csr_array, room: int
) -> tuple[RowParts, RowParts, Any, Any]:
    """Return the rows of users and of items, and the sums of both, float64, on the host.

    A log that the card holds is transposed there; another goes there in parts of rows.
    """
    if csr.fits(backend, weights, room):
        by_user = csr.rows_of(backend, weights, 0, weights.shape[0])
        by_item = csr.transposed(backend, by_user, weights.shape[1])
        of_users, of_items = (
            backend.to_host(csr.row_sums(backend, one)) for one in (by_user, by_item)
        )
        return RowParts.held(by_user), RowParts.held(by_item), of_users, of_items
    with threads() as pool:
        item_users = transposed(weights, pool)
    most_bytes = max(backend.free_bytes - room, 0) // _PARTS_IN_ROOM
    users, items = (RowParts.of(backend, one, most_bytes) for one in (weights, item_users))
    return users, items, row_sums(weights), row_sums(item_users)
