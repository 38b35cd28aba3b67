"""GF-CF and BSPM-EM, which learn nothing: published results that can be reached again.

With ``A = D_u^-1/2 R D_i^-1/2`` and V its first right singular vectors, GF-CF (Shen et al., CIKM
2021, arXiv 2108.07567, equation 8) scores a history r by

    ``r A'A + s r D_i^-1/2 V V' D_i^1/2``.

BSPM-EM (Choi et al., SIGIR 2023, arXiv 2211.09324) takes that for a blurred signal x and sharpens
it by ``dx/dt = -x A'A`` up to time h, in one step of Runge-Kutta: the first five terms of
``x exp(-h A'A)``.
"""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.models.protocol import popularity_of, power_of_counts
from recsys.models.spectral import truncated_svd
from recsys.vectors import FloatMatrix

RUNGE_KUTTA_ORDER = 4
OVERSAMPLING = 4.0  # misses 1e-7 of the energy: see `truncated_svd`


@dataclass(frozen=True, eq=False)
class GraphFilter:
    """A fixed filter of the users' histories.

    Parameters
    ----------
    user_items, normalized : csr_array, shape (n_users, n_items)
        R and A.
    analysis, synthesis : ndarray of float32, shape (n_items, k)
        ``D_i^-1/2 V`` and ``s D_i^1/2 V``.
    sharpening : float
        h, or 0.
    """

    user_items: sp.csr_array
    normalized: sp.csr_array
    analysis: FloatMatrix
    synthesis: FloatMatrix
    sharpening: float

    @property
    def shape(self) -> tuple[int, int]:
        """Numbers of users and of items."""
        n_users, n_items = self.user_items.shape
        return n_users, n_items

    def scores(self, user_idx: NDArray[np.integer], out: FloatMatrix | None = None) -> FloatMatrix:
        """Return float32 (n, n_items)."""
        histories = self.user_items[user_idx].T.toarray()  # (n_items, n)
        signal = self.blurred(histories)
        signal += self.synthesis @ (self.analysis.T @ histories)
        term = signal.copy()
        for order in range(1, RUNGE_KUTTA_ORDER + 1 if self.sharpening else 1):
            term = self.blurred(term)
            term *= np.float32(-self.sharpening / order)
            signal += term
        if out is None:
            return np.ascontiguousarray(signal.T)
        out[:] = signal.T
        return out

    def blurred(self, signal: FloatMatrix) -> FloatMatrix:
        """Return ``A'A x`` of columns x."""
        smooth: FloatMatrix = self.normalized.T @ (self.normalized @ signal)
        return smooth


def gf_cf(user_items: sp.csr_array) -> GraphFilter:
    """Return GF-CF with the 256 singular vectors and the s of 0.3 of its code."""
    return graph_filter(user_items, factors=256, share=0.3, sharpening=0.0)


def bspm_em(user_items: sp.csr_array) -> GraphFilter:
    """Return BSPM-EM with the settings that its README has for Gowalla."""
    return graph_filter(user_items, factors=448, share=0.2, sharpening=2.5)


def graph_filter(
    user_items: sp.csr_array, *, factors: int, share: float, sharpening: float
) -> GraphFilter:
    """Return a filter of a log, whose weights do not count."""
    n_of_user, popularity = np.diff(user_items.indptr), popularity_of(user_items)
    R = user_items.astype(np.float32)
    R.data[:] = 1
    A = R.copy()
    A.data *= np.repeat(power_of_counts(n_of_user, -0.5), n_of_user)
    A.data *= power_of_counts(popularity, -0.5)[A.indices]
    _, V = truncated_svd(A, factors, oversampling=OVERSAMPLING, seed=0)
    analysis = power_of_counts(popularity, -0.5)[:, None] * V
    synthesis = share * power_of_counts(popularity, 0.5)[:, None] * V
    return GraphFilter(R, A, analysis.astype(np.float32), synthesis.astype(np.float32), sharpening)
