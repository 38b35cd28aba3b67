"""Alternating least squares for implicit feedback."""

from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import partial
from math import inf
from time import perf_counter
from typing import Any, ClassVar

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.base.checks import require
from recsys.base.devices import Device, device_of
from recsys.base.errors import DivergedError
from recsys.base.threads import threads
from recsys.features import Features
from recsys.features.alike import with_new_items
from recsys.features.ridge_choice import RidgeSetting
from recsys.models.als.basis import diagonal
from recsys.models.als.gram import turn
from recsys.models.als.on_card import CardSweeps, sweeps_on_card
from recsys.models.als.plan import bases_of, steps_of
from recsys.models.als.prior import FixedPrior, Prior
from recsys.models.als.sweep import (
    EXACT,
    EXACT_STEPS,
    Side,
    eigenbasis,
    half_sweep,
    loss_of,
    padded,
    sides,
    solve_exactly,
    solve_side,
    users_at_zero,
    weighted,
)
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
)
from recsys.vectors import Embeddings, FloatMatrix


@dataclass(frozen=True)
class ALS(Sized):
    r"""Weighted matrix factorization of implicit feedback.

    Minimizes, over user embeddings x and item embeddings y (Rendle, Krichene, Zhang, Koren,
    RecSys 2022, arXiv 2110.14037, equations 1 to 3),

    .. math::

        \sum_{(u,i)\ observed} \tilde w_{ui} (1 - x_u \cdot y_i)^2
        + a_0 \sum_{u,i} s_u (x_u \cdot y_i)^2
        + \lambda \Big(\sum_u r_u^\nu |x_u|^2 + \sum_i r_i^\nu |y_i|^2\Big)

    with :math:`a_0` = `unobserved_weight` on all pairs, :math:`\lambda` = `regularization`,
    :math:`\nu` = `regularization_exponent`, and r the weight of all terms in which a row takes
    part: :math:`r_u = \sum_i |\tilde w_{ui}| + \kappa a_0 s_u N`. Weights are normalized by the
    numbers of interactions of the user, n_u, and of the item, n_i:
    :math:`\tilde w_{ui} = w_{ui}^e n_u^{-a} n_i^{-b}` and :math:`s_u = n_u^{-c}`, where w is the
    weight in units of the mean weight of all pairs, so that the unit of a log does not count.
    :math:`\kappa = 1` is the paper's; 0 lets one regularization do for catalogues of any size.

    With features f of items, a share :math:`\theta` of the last sum becomes
    :math:`\sum_i r_i^\nu |y_i - W' f_i|^2 + \mu |W|^2`, and W is solved in closed form each epoch
    (very many features follow by steps, see `recsys.features.ridge_steps`): a popular item is
    governed by its events, a rare one by its features, and one without events is :math:`W' f_i`, of
    a last W by which all rows count alike. So with users. Without the rest, which pulls to 0, the
    norms of one side were free: users would shrink, items and W grow, and rows be tied to their
    features too tightly.
    A weight below 0 is a dislike, a known zero of that confidence: its term is
    :math:`|\tilde w_{ui}| (x_u \cdot y_i)^2`, and it is none of the interactions that the mean
    weight, n_u and n_i are of.

    Each half-sweep solves all rows of one side by one or two steps of conjugate gradients from
    where they are, preconditioned in or near the eigenbasis of the other side's Gram matrix (see
    `recsys.models.als.basis`), that side rounded to half precision or, if it is large, to bytes
    (see `recsys.models.als.rounding`); only the last solve of the users and fold-ins do without
    rounding. The result does not depend on the number of threads.
    Embeddings are returned in the eigenbasis of the items: the first coordinate carries the most.

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
    weight_exponent : float
        e, 0 or more: 0 counts every interaction alike, 1 takes weights as they are.
    user_exponent, item_exponent, unobserved_exponent : float
        a, b and c: above 0, what active users did and what happened to popular items weighs less.
    recency : float
        Above 0, weights fall with the steps back in the history, to this power, before e is; see
        `Interactions.user_items`.
    feature_share : float
        theta, from 0 to 1, where `fit` is given features: the share of the regularization that
        pulls a row to what its features say, rather than to 0.
    feature_ridge : float or "auto"
        mu, above 0: about so many mean rows of nothing are added to each feature. "auto": 2, and
        for items that nobody has touched what generalized cross-validation says of the error of
        scores, from 0.5 to 64.
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
    can_warm_start: ClassVar[bool] = True
    takes_dislikes: ClassVar[bool] = True

    factors: int = 64
    regularization: float = 1.0
    regularization_exponent: float = 0.5
    unobserved_regularization: float = 0.0
    unobserved_weight: float = 0.1
    weight_exponent: float = 1.0
    user_exponent: float = 0.0
    item_exponent: float = 0.0
    unobserved_exponent: float = 0.0
    recency: float = 0.0
    feature_share: float = 0.1
    feature_ridge: RidgeSetting = "auto"
    iterations: int = 15
    seed: int = 0

    def __post_init__(self) -> None:
        shares = ("regularization_exponent", "unobserved_regularization", "feature_share")
        from_0 = ("weight_exponent", "recency", "seed", *shares)
        require_hyperparameters(
            self,
            least={"factors": 1, "iterations": 1, **dict.fromkeys(from_0, 0)},
            above={"regularization": 0, "unobserved_weight": 0},
            finite=("user_exponent", "item_exponent", "unobserved_exponent"),
        )
        require(f"{self.name}.feature_share", self.feature_share, least=0, at_most=1)
        if self.feature_ridge != "auto":
            expected = '"auto" or a number above 0'
            ridge = f"{self.name}.feature_ridge"
            require(ridge, self.feature_ridge, above=0, below=inf, expected=expected)

    @classmethod
    def from_alpha(
        cls, alpha: float, regularization: float, *, factors: int = 64, iterations: int = 15
    ) -> "ALS":
        r"""Return the model that Hu, Koren and Volinsky's parameters describe.

        They weigh an observed pair :math:`1 + \alpha w` and any other 1 (Hu et al. 2008, equation
        3). For weights w of 1 the two problems have the same solution, except that their scores
        are :math:`1 + 1/\alpha` times ours; other weights differ by how much of an observed
        pair's own "unobserved" share pulls towards 1.

        A ConfigError if alpha is not above 0, or a parameter is out of range.
        """
        require("als.alpha", alpha, above=0, below=inf)
        require("als.regularization", regularization, above=0, below=inf)
        return cls(
            factors=factors,
            regularization=regularization / (alpha + 1),
            regularization_exponent=0.0,
            unobserved_weight=1 / alpha,
            iterations=iterations,
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
        """Factorize a matrix of weights; see `Model.fit`.

        Training ends on a full solve of the users, so that folding in a user's training history
        gives the stored row.

        Parameters
        ----------
        start : Embeddings, optional
            A zero row is a newcomer, which the first epoch folds in. See
            `recsys.vectors.Embeddings.reindexed`.
        n_threads : int, optional
            Default: one for each usable core. The result is the same for any.
        device : {"auto", "cpu", "cuda"}, optional
            Where the epochs run; up to rounding the result is the same. "cuda" needs a CUDA card,
            which "auto" takes where one is and the fit is large. Default: that of the block
            around, such as a run by a config, else "cpu".

        Raises
        ------
        ConfigError
            If a card is asked for that is not there, or cannot do this fit.
        """
        matrix = normalized(user_items, self.recency, signed=True)
        on_card = sweeps_on_card(self, matrix, start, features, device_of(device))
        if on_card is not None:
            return self._fit_on_card(on_card, matrix, start, on_epoch)
        with threads(n_threads) as pool:
            users, items = sides(self, matrix, start, features, pool)

            def so_far() -> Embeddings:
                return _copied(self._trimmed(users, items))

            sweep = partial(half_sweep, unobserved_weight=self.unobserved_weight, pool=pool)

            def solve_both(number: int) -> float:
                of_users, of_items = steps_of(number, start)
                first, second = bases_of(number, start)
                sweep(users, items, factors=self.factors, steps=of_users, into=first)
                observed = sweep(items, users, factors=self.factors, steps=of_items, into=second)
                return loss_of(observed, users, items, self.unobserved_weight, pool)

            self._run(solve_both, so_far, users.matrix, on_epoch)
            solve_exactly(users, items, self.unobserved_weight, pool, factors=self.factors)
            if isinstance(items.prior, Prior):
                items.prior = items.prior.of_new_rows(items.vectors, users.vectors, pool)
            users.fill(pool)
        found = self._trimmed(users, items)
        if features is None or features.items is None or found.item_map is None:
            return found
        n_users = np.diff(items.matrix.indptr)
        filled = with_new_items(features.items, found.items, n_users, found.item_map)
        return replace(found, items=filled)

    def _fit_on_card(
        self,
        sweeps: CardSweeps,
        matrix: sp.csr_array,
        start: Embeddings | None,
        on_epoch: OnEpoch | None,
    ) -> Embeddings:
        def solve_both(number: int) -> float:
            return sweeps.epoch(number, steps_of(number, start))

        self._run(solve_both, sweeps.embeddings, matrix, on_epoch)
        sweeps.solve_users()
        return sweeps.embeddings()

    def _run(
        self,
        solve_both: Callable[[int], float],
        so_far: Callable[[], Embeddings],
        matrix: sp.csr_array,
        on_epoch: OnEpoch | None,
    ) -> None:
        """Go through the epochs; `solve_both` runs one by its number, and returns the loss."""
        for number in range(1, self.iterations + 1):
            began = perf_counter()
            loss = solve_both(number)
            seconds = perf_counter() - began
            if not np.isfinite(loss):
                raise DivergedError(_why_diverged(loss, number, matrix))
            epoch = Epoch(number, self.iterations, loss, seconds, so_far)
            if on_epoch is not None and on_epoch(epoch):
                break

    def fold_in(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> FoldIn:
        """Prepare the solve of users against these items; see `Model.fold_in`."""
        factors = items.shape[1]
        turned = padded(items)  # (n_items, width)
        with threads() as pool:
            # An item that nobody has touched was not there when the users were solved.
            is_known = (np.asarray(popularity) > 0).astype(np.float32)
            eigenvalues, basis = eigenbasis(turned, is_known, pool, factors=factors)
            turn(turned, basis, pool)
        dense = diagonal(eigenvalues, self.unobserved_weight)

        def embed(user_items: sp.csr_array, priors: FloatMatrix | None = None) -> FloatMatrix:
            histories = in_mean_weights(user_items, mean_weight, len(items), signed=True)
            weights = weighted(self, histories, popularity)
            users = users_at_zero(self, weights, turned.shape[1])
            with threads() as pool:
                if priors is not None:
                    users.prior = FixedPrior(padded(priors))
                    turn(users.prior.map, basis, pool)
                solve_side(users, turned, dense, pool, steps=EXACT_STEPS, tolerance=EXACT)
                users.fill(pool)
                turn(users.vectors, np.ascontiguousarray(basis.T), pool)
            return np.ascontiguousarray(users.vectors[:, :factors])  # (n_histories, factors)

        return embed

    def contributions(
        self,
        items: FloatMatrix,
        popularity: NDArray[np.integer],
        mean_weight: float = 1.0,
        summands: FloatMatrix | None = None,
    ) -> Contributions:
        r"""Prepare :math:`w_i\, y_i' W y_j` (Hu et al. 2008, section 5).

        W is the inverse of the system that a fold-in solves without dislikes; the score of item j
        is the sum of the contributions over the history. A dislike d takes
        :math:`|w_d|\, (x' y_d)\, y_d' W y_j` from it, where x is the user: what is left of its own
        score times how similar it is. That is exact, as :math:`W^{-1} x = \sum_i w_i y_i
        - \sum_d |w_d|\, y_d (y_d' x)`.
        """
        known = items[np.asarray(popularity) > 0]
        gram = (known.T @ known).astype(np.float64)  # (factors, factors)

        def contributed(history: sp.csr_array, item_idx: int) -> NDArray[np.float64]:
            clean = in_mean_weights(history, mean_weight, signed=True)
            weights = weighted(self, clean, popularity)
            user, Y = users_at_zero(self, weights, 0), items[weights.indices].astype(np.float64)
            system = self.unobserved_weight * float(user.dense_scale[0]) * gram
            system += float(user.regularization[0]) * np.eye(len(gram))
            likes, dislikes = (np.maximum(sign * weights.data, 0)[:, None] for sign in (1, -1))
            system += Y.T @ (likes * Y)
            pull = likes[:, 0].astype(np.float64)  # (nnz,)
            if dislikes.any():
                x = np.linalg.solve(system + Y.T @ (dislikes * Y), Y.T @ pull)
                pull -= dislikes[:, 0] * (Y @ x)
            similar = Y @ np.linalg.solve(system, items[item_idx])  # (nnz,)
            return np.asarray(pull * similar, dtype=np.float64)

        return contributed

    def _trimmed(self, users: Side, items: Side) -> Embeddings:
        """Return both sides without padding, not copied where there is none."""
        maps = {
            f"{name}_map": np.ascontiguousarray(side.prior.map[:, : self.factors])
            for name, side in (("user", users), ("item", items))
            if side.prior is not None
        }
        priors = {"user": users.prior, "item": items.prior}
        return Embeddings(
            np.ascontiguousarray(users.vectors[:, : self.factors]),
            np.ascontiguousarray(items.vectors[:, : self.factors]),
            **maps,
            ridges={side: one.ridge for side, one in priors.items() if isinstance(one, Prior)},
        )


def _copied(embeddings: Embeddings) -> Embeddings:
    """Return embeddings that the next epoch does not change."""
    copied: dict[str, Any] = {name: one.copy() for name, one in embeddings.matrices.items()}
    return replace(embeddings, **copied)


def _why_diverged(loss: float, number: int, matrix: sp.csr_array) -> str:
    return (
        f"als: the loss became {loss} in epoch {number}; weights go from {matrix.data.min():g} to "
        f'{matrix.data.max():g}: scale them towards 1 (log.value_scale = "log"), or raise '
        "als.regularization"
    )
