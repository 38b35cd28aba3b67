"""Alternating least squares for implicit feedback."""

from dataclasses import dataclass
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.models.matrix import checked, popularity_of, require
from recsys.models.protocol import FoldIn
from recsys.progress import OnStep
from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True)
class ALS:
    r"""Weighted matrix factorization of implicit feedback (Hu, Koren, Volinsky 2008).

    Minimizes, over user embeddings x and item embeddings y,

    .. math::

        \sum_{(u,i)\ observed} (w_{ui} + a_0) (1 - x_u \cdot y_i)^2
        + a_0 \sum_{(u,i)\ not} (x_u \cdot y_i)^2
        + \lambda \Big(\sum_u |x_u|^2 + \sum_i |y_i|^2\Big)

    with ``a_0 = unobserved_weight``. This is their equation 3 divided by ``alpha``, so that
    ``alpha = 1 / unobserved_weight``; and it is what `implicit` minimizes with that alpha and
    its own regularization set to ``regularization / unobserved_weight``.

    Parameters
    ----------
    factors : int
        Dimension of the embeddings; any number from 1.
    regularization : float
        Above 0.
    unobserved_weight : float
        Weight of every pair that was not observed, where an observed one weighs about 1.
    iterations : int
        Times that both sides are solved.
    seed : int
        Of the random start. The same seed gives the same embeddings.

    Raises
    ------
    ConfigError
        If a hyperparameter is out of range.
    """

    name: ClassVar[str] = "als"

    factors: int = 64
    regularization: float = 3.0
    unobserved_weight: float = 0.1
    iterations: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        require("als.factors", self.factors, least=1)
        require("als.regularization", self.regularization, above=0)
        require("als.unobserved_weight", self.unobserved_weight, above=0)
        require("als.iterations", self.iterations, least=1)
        require("als.seed", self.seed, least=0)

    def fit(self, user_items: sp.csr_array, on_step: OnStep | None = None) -> Embeddings:
        """Factorize a matrix of weights.

        Training ends on an exact solve of the users, so that folding in a user's training
        history gives the stored row.

        Parameters
        ----------
        user_items : csr_array, shape (n_users, n_items)
            Finite weights above 0; rows are users.
        on_step : callable, optional
            Called after every iteration with the iterations done and those in all.

        Returns
        -------
        Embeddings
            A user or an item without interactions has a zero embedding.

        Raises
        ------
        DataError
            If the matrix is empty or a weight is negative or not finite.
        DivergedError
            If a number of the embeddings is not finite.
        """
        matrix = checked(user_items)
        solver = self._solver()

        def report(iteration: int, *_: object) -> None:
            if on_step is not None:
                on_step(iteration + 1, self.iterations)

        with _one_blas_thread():
            solver.fit(self._confidence(matrix), show_progress=False, callback=report)
        items = np.ascontiguousarray(solver.item_factors, dtype=np.float32)
        return Embeddings(users=self.fold_in(items, popularity_of(matrix))(matrix), items=items)

    def fold_in(self, items: FloatMatrix, popularity: NDArray[np.integer]) -> FoldIn:
        """Prepare the exact user solve against these items.

        Parameters
        ----------
        items : ndarray of float32, shape (n_items, factors)
        popularity : ndarray of int, shape (n_items,)
            Not needed by this model.

        Returns
        -------
        FoldIn
            Takes histories (n, n_items), gives embeddings (n, factors).
        """
        solver = self._solver()
        solver.item_factors = items

        def embed(user_items: sp.csr_array) -> FloatMatrix:
            histories = self._confidence(checked(user_items))
            with _one_blas_thread():
                users = solver.recalculate_user(np.arange(histories.shape[0]), histories)
            return np.asarray(users, dtype=np.float32)

        return embed

    def _solver(self) -> Any:
        from implicit.cpu.als import AlternatingLeastSquares

        with _one_blas_thread():
            return AlternatingLeastSquares(
                factors=self.factors,
                regularization=self.regularization / self.unobserved_weight,
                iterations=self.iterations,
                random_state=self.seed,
            )

    def _confidence(self, user_items: sp.csr_array) -> sp.csr_matrix:
        """Weights as implicit wants them: an unobserved pair weighs 1, an observed one more."""
        confidence = sp.csr_matrix(user_items, copy=True)
        confidence.data = 1 + confidence.data / np.float32(self.unobserved_weight)
        return confidence


def _one_blas_thread() -> Any:
    """Keep BLAS to one thread: implicit has threads of its own, and the two would compete."""
    from threadpoolctl import threadpool_limits

    return threadpool_limits(limits=1, user_api="blas")
