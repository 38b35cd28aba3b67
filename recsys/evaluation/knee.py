"""The knee of a curve of accuracy against cost: the least that is as good as the best."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from recsys.base.errors import DataError
from recsys.evaluation.metrics import FloatArray, margin_of_mean

TOLERANCE = 0.01
"""The loss, as a share of the best mean, that nobody minds."""


@dataclass(frozen=True)
class Knee:
    """Which candidate to choose, and what choosing it loses.

    Parameters
    ----------
    place : int
        Of the knee among the candidates.
    best : int
        Place of the candidate with the highest mean.
    loss : float
        Mean over users of the best's accuracy less the knee's.
    margin : float
        Half the width of the 95 % interval of that mean; infinite with one user.
    """

    place: int
    best: int
    loss: float
    margin: float


def find_knee(
    costs: Sequence[float], per_user: Sequence[FloatArray], *, tolerance: float = TOLERANCE
) -> Knee:
    r"""Return the cheapest candidate that is as good as the best.

    The best is the candidate with the highest mean accuracy over users, the cheaper one of equals.
    With :math:`d_u` the best's accuracy for user u less the candidate's, a candidate is *as good
    as the best* if one of two things is true:

    - its loss is noise: the 95 % interval of the mean of :math:`d_u` holds 0,
      :math:`\bar d \le 1.96 \, s_d / \sqrt{n}`;
    - its loss is small: :math:`\bar d` is at most `tolerance` times the mean of the best.

    Differences of the same users are compared, not two intervals: how much users differ from each
    other says nothing about how much two sizes do. Few users make much noise, and the knee is then
    a small size, because nothing shows that a larger one is better.

    Parameters
    ----------
    costs : sequence of float
        Of each candidate, in any unit.
    per_user : sequence of ndarray of float64, shape (n_users,)
        Accuracy of each candidate for the same users in the same order.
    tolerance : float
        0 or more.

    Returns
    -------
    Knee

    Raises
    ------
    DataError
        If there is no candidate, or candidates differ in users.

    Examples
    --------
    >>> found = find_knee([8, 16, 32], [np.full(50, 0.1), np.full(50, 0.199), np.full(50, 0.2)])
    >>> found.place, found.best
    (1, 2)
    """
    n_users = {len(values) for values in per_user}
    if len(n_users) != 1 or 0 in n_users or len(costs) != len(per_user):
        raise DataError(
            "knee: expected candidates with a cost each, measured on the same users, got "
            f"{len(costs)} costs and {len(per_user)} candidates on "
            f"{', '.join(map(str, sorted(n_users))) or 'no'} users"
        )
    by_cost = np.argsort(costs, kind="stable").tolist()
    means = [float(values.mean()) for values in per_user]
    best = max(by_cost, key=means.__getitem__)  # the first, so the cheapest, of equals
    for place in by_cost:
        lost = per_user[best] - per_user[place]
        loss, margin = float(lost.mean()), margin_of_mean(lost)
        if place == best or loss <= max(margin, tolerance * means[best]):
            break
    return Knee(place=place, best=best, loss=loss, margin=margin)
