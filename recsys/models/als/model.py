"""Alternating least squares for implicit feedback."""

from dataclasses import dataclass
from time import perf_counter
from typing import TYPE_CHECKING, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.errors import DataError, DivergedError
from recsys.base.progress import OnStep
from recsys.models.protocol import (
    Contributions,
    Epoch,
    FoldIn,
    OnEpoch,
    checked,
    popularity_of,
    power_of_counts,
    require,
)
from recsys.vectors import Embeddings, FloatMatrix, FloatVector

if TYPE_CHECKING:  # the compiler is imported by whoever fits or folds in, not by who serves
    from recsys.base.threads import Threads
    from recsys.models.als.sweep import Side

_START_SCALE = 0.1  # uniform in [0, 0.1): as good a start as any tried, at 64 and at 256 factors
_CAREFUL_EPOCHS = 3  # these take two steps a row, as far from the solution one is too few
_FOLD_IN_STEPS, _FOLD_IN_TOLERANCE = 200, 1e-6


@dataclass(frozen=True)
class ALS:
    r"""Weighted matrix factorization of implicit feedback.

    Minimizes, over user embeddings x and item embeddings y (Rendle, Krichene, Zhang, Koren,
    RecSys 2022, arXiv 2110.14037, equations 1 to 3),

    .. math::

        \sum_{(u,i)\ observed} \tilde w_{ui} (1 - x_u \cdot y_i)^2
        + a_0 \sum_{u,i} s_u (x_u \cdot y_i)^2
        + \lambda \Big(\sum_u r_u^\nu |x_u|^2 + \sum_i r_i^\nu |y_i|^2\Big)

    with :math:`a_0` = `unobserved_weight` on all pairs, :math:`\lambda` = `regularization`,
    :math:`\nu` = `regularization_exponent`, and r the weight of all terms in which a row takes
    part: :math:`r_u = \sum_i \tilde w_{ui} + \kappa a_0 s_u N`. Weights are normalized by the
    numbers of interactions of the user, n_u, and of the item, n_i:
    :math:`\tilde w_{ui} = w_{ui} n_u^{-a} n_i^{-b}` and :math:`s_u = n_u^{-c}`.
    :math:`\kappa = 1` is the paper's; 0 lets one regularization do for catalogues of any size.

    Each half-sweep solves all rows of one side by one or two steps of conjugate gradients from
    where they are, preconditioned in the eigenbasis of the other side's Gram matrix (see
    `recsys.models.als.sweep`), that side rounded to half precision; only the last solve of the
    users and fold-ins do without rounding. The result does not depend on the number of threads.
    Embeddings are returned in that basis: the first coordinate carries the most.

    Parameters
    ----------
    factors : int
        Dimension of the embeddings; any number from 1.
    regularization : float
        Above 0.
    regularization_exponent : float
        0 regularizes all rows alike, 1 in proportion to their weight.
    unobserved_regularization : float
        kappa, the share of its unobserved pairs that counts as a row's weight there, 0 to 1.
    unobserved_weight : float
        Weight of every pair, where an observed one weighs about 1 more.
    user_exponent, item_exponent, unobserved_exponent : float
        a, b and c: above 0, what active users did and what happened to popular items weighs less.
    iterations : int
        Epochs: times that both sides are solved.
    seed : int
        Of the random start. The same seed gives the same embeddings.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.

    See Also
    --------
    ALS.from_alpha : the parameters of Hu, Koren and Volinsky, as `implicit` has them.
    """

    name: ClassVar[str] = "als"

    factors: int = 64
    regularization: float = 1.0
    regularization_exponent: float = 0.5
    unobserved_regularization: float = 0.0
    unobserved_weight: float = 0.1
    user_exponent: float = 0.0
    item_exponent: float = 0.0
    unobserved_exponent: float = 0.0
    iterations: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        require("als.factors", self.factors, least=1)
        require("als.regularization", self.regularization, above=0)
        require("als.regularization_exponent", self.regularization_exponent, least=0)
        require("als.unobserved_regularization", self.unobserved_regularization, least=0)
        require("als.unobserved_weight", self.unobserved_weight, above=0)
        require("als.iterations", self.iterations, least=1)
        require("als.seed", self.seed, least=0)

    @property
    def rotatable(self) -> tuple[slice, ...]:
        """All coordinates: a fold-in turns with the items."""
        return (slice(0, self.factors),)

    @classmethod
    def from_alpha(
        cls, alpha: float, regularization: float, *, factors: int = 64, iterations: int = 15
    ) -> "ALS":
        r"""Return the model that Hu, Koren and Volinsky's parameters describe.

        They weigh an observed pair :math:`1 + \alpha w` and any other 1 (Hu et al. 2008, equation
        3). For weights w of 1 the two problems have the same solution, except that their scores
        are :math:`1 + 1/\alpha` times ours; other weights differ by how much of an observed
        pair's own "unobserved" share pulls towards 1.

        Parameters
        ----------
        alpha : float
        regularization : float
            Theirs, and `implicit`'s.
        factors, iterations : int
        """
        return cls(
            factors=factors,
            regularization=regularization / (alpha + 1),
            regularization_exponent=0.0,
            unobserved_weight=1 / alpha,
            iterations=iterations,
        )

    def fit(
        self,
        user_items: sp.csr_array,
        on_step: OnStep | None = None,
        *,
        start: Embeddings | None = None,
        on_epoch: OnEpoch | None = None,
        n_threads: int | None = None,
    ) -> Embeddings:
        """Factorize a matrix of weights.

        Training ends on a full solve of the users, so that folding in a user's training history
        gives the stored row.

        Parameters
        ----------
        user_items : csr_array, shape (n_users, n_items)
            Finite weights above 0; rows are users.
        on_step : callable, optional
            Called after every epoch with the epochs done, those in all, and the loss.
        start : Embeddings, optional
            Where to start instead of at random; a zero row is a newcomer, which the first epoch
            folds in. See `recsys.vectors.carry_over`.
        on_epoch : callable, optional
            Called after every epoch; True stops there.
        n_threads : int, optional
            Default: one for each usable core. The result is the same for any.

        Returns
        -------
        Embeddings
            A user or an item without interactions has a zero embedding.

        Raises
        ------
        DataError
            If the matrix is empty, a weight is negative or not finite, or `start` has other rows.
        DivergedError
            If the loss is not finite any more.
        """
        from recsys.base.threads import threads

        matrix = checked(user_items)
        users, items = self._sides(matrix, start)
        with threads(n_threads) as pool:
            for number in range(1, self.iterations + 1):
                began = perf_counter()
                loss = self._epoch(users, items, pool, steps=self._steps(number, start))
                seconds = perf_counter() - began
                if not np.isfinite(loss):
                    raise DivergedError(_why_diverged(loss, number, users.matrix))
                if on_step is not None:
                    on_step(number, self.iterations, f"loss {loss:.6g}")
                if on_epoch is not None and on_epoch(
                    Epoch(
                        number, self.iterations, loss, seconds, lambda: self._trimmed(users, items)
                    )
                ):
                    break
            users.vectors[:] = 0  # where a fold-in starts
            self._solve(
                users, items, pool,
                in_halves=False, steps=_FOLD_IN_STEPS, tolerance=_FOLD_IN_TOLERANCE,
            )  # fmt: skip
        return self._trimmed(users, items)

    def fold_in(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> FoldIn:
        """Prepare the solve of users against these items.

        Parameters
        ----------
        items : ndarray of float32, shape (n_items, factors)
        popularity : ndarray of int, shape (n_items,)
            Number of users of each item.

        Returns
        -------
        FoldIn
            Takes histories (n, n_items), gives embeddings (n, factors).
        """
        from recsys.base.threads import threads
        from recsys.models.als.sweep import eigenbasis, padded, solve_turned, turn

        factors = items.shape[1]
        turned = padded(items)
        with threads() as pool:
            ones = np.ones(len(items), dtype=np.float32)
            eigenvalues, basis = eigenbasis(turned, ones, pool, factors=factors)
            turn(turned, basis, pool)
        spectrum = (self.unobserved_weight * eigenvalues).astype(np.float32)

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            users = self._users(self._weighted(checked(user_items), popularity), turned.shape[1])
            with threads() as pool:
                solve_turned(
                    users, turned, spectrum, pool,
                    steps=_FOLD_IN_STEPS, tolerance=_FOLD_IN_TOLERANCE,
                )  # fmt: skip
                turn(users.vectors, np.ascontiguousarray(basis.T), pool)
            return np.ascontiguousarray(users.vectors[:, :factors])

        return embed

    def contributions(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> Contributions:
        r"""Prepare the parts of scores, :math:`w_i\, y_i' W y_j` (Hu et al. 2008, section 5).

        W is the inverse of the system that a fold-in solves; the score of item j is the sum of its
        parts over the history.

        Parameters
        ----------
        items : ndarray of float32, shape (n_items, factors)
        popularity : ndarray of int, shape (n_items,)
        """
        gram = (items.T @ items).astype(np.float64)

        def parts(history: sp.csr_array, item_idx: int) -> NDArray[np.float64]:
            weighted = self._weighted(checked(history), popularity)
            user, Y = self._users(weighted, 0), items[weighted.indices].astype(np.float64)
            system = self.unobserved_weight * float(user.dense_scale[0]) * gram
            system += Y.T @ (weighted.data[:, None] * Y)
            system += float(user.regularization[0]) * np.eye(len(gram))
            similar = Y @ np.linalg.solve(system, items[item_idx])
            return np.asarray(weighted.data * similar, dtype=np.float64)

        return parts

    def _epoch(self, users: "Side", items: "Side", pool: "Threads", *, steps: int) -> float:
        """Solve both sides once; return the loss."""
        self._solve(users, items, pool, in_halves=True, steps=steps)
        return self._solve(items, users, pool, in_halves=True, steps=steps) + users.penalty()

    def _solve(
        self,
        rows: "Side",
        fixed: "Side",
        pool: "Threads",
        *,
        in_halves: bool,
        steps: int,
        tolerance: float = 0.0,
    ) -> float:
        from recsys.models.als.sweep import solve

        return solve(
            rows,
            fixed,
            self.unobserved_weight,
            pool,
            factors=self.factors,
            in_halves=in_halves,
            steps=steps,
            tolerance=tolerance,
        )

    def _steps(self, number: int, start: Embeddings | None) -> int:
        """Return the steps of conjugate gradients that a row takes in an epoch."""
        return 2 if start is None and number <= _CAREFUL_EPOCHS else 1

    def _sides(self, user_items: sp.csr_array, start: Embeddings | None) -> "tuple[Side, Side]":
        """Return both sides at the start."""
        from recsys.models.als.sweep import Side, padded

        n_items = user_items.shape[1]
        if start is None:
            rng = np.random.default_rng(self.seed)
            first = _START_SCALE * rng.random((n_items, self.factors), dtype=np.float32)
        else:
            _require_rows(start, (*user_items.shape, self.factors))
            first = start.items
        vectors = padded(first)
        weighted = self._weighted(user_items, popularity_of(user_items))
        users = self._users(weighted, vectors.shape[1])
        if start is not None:
            users.vectors[:, : self.factors] = start.users
        item_users = sp.csr_array(weighted.T.tocsr())
        unobserved = self.unobserved_weight * users.dense_scale.sum()
        weight = _row_sums(item_users) + self.unobserved_regularization * unobserved
        ones = np.ones(n_items, dtype=np.float32)
        return users, Side(item_users, vectors, self._regularization_of(weight), ones)

    def _users(self, weighted: sp.csr_array, width: int) -> "Side":
        """Return users at zero."""
        from recsys.models.als.sweep import Side, aligned_zeros

        n_users, n_items = weighted.shape
        scale = power_of_counts(np.diff(weighted.indptr), -self.unobserved_exponent)
        unobserved = self.unobserved_weight * n_items * scale
        weight = _row_sums(weighted) + self.unobserved_regularization * unobserved
        vectors = aligned_zeros(n_users, width)
        return Side(weighted, vectors, self._regularization_of(weight), scale)

    def _regularization_of(self, weight: NDArray[np.floating]) -> FloatVector:
        """Return ``regularization * weight ** exponent``, above 0 also where there is no weight."""
        at_least = np.maximum(weight, np.finfo(np.float32).tiny)
        powers: FloatVector = (at_least**self.regularization_exponent).astype(np.float32)
        return powers * np.float32(self.regularization)

    def _weighted(self, user_items: sp.csr_array, popularity: NDArray[np.integer]) -> sp.csr_array:
        """Return the weights, normalized by the numbers of interactions of user and item."""
        per_user = np.diff(user_items.indptr)
        of_users = np.repeat(power_of_counts(per_user, -self.user_exponent), per_user)
        of_items = power_of_counts(popularity, -self.item_exponent)[user_items.indices]
        data = user_items.data * of_users * of_items
        return sp.csr_array((data, user_items.indices, user_items.indptr), shape=user_items.shape)

    def _trimmed(self, users: "Side", items: "Side") -> Embeddings:
        """Return a copy of both sides without padding; an item without users is zero."""
        return Embeddings(
            np.ascontiguousarray(users.vectors[:, : self.factors]),
            np.ascontiguousarray(items.vectors[:, : self.factors]),
        )


def _row_sums(matrix: sp.csr_array) -> NDArray[np.float64]:
    ones = np.ones(matrix.shape[1])
    sums: NDArray[np.float64] = matrix @ ones
    return sums


def _require_rows(start: Embeddings, expected: tuple[int, int, int]) -> None:
    got = (len(start.users), len(start.items), start.factors)
    if got != expected:
        raise DataError(
            f"als: expected a start of (users, items, factors) {expected}, got {got}; bring it "
            "to the rows of this matrix with recsys.vectors.carry_over"
        )


def _why_diverged(loss: float, number: int, matrix: sp.csr_array) -> str:
    return (
        f"als: the loss became {loss} in epoch {number}; weights go from {matrix.data.min():g} to "
        f'{matrix.data.max():g}: scale them towards 1 (log.value_scale = "log"), or raise '
        "als.regularization"
    )
