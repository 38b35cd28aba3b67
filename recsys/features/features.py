"""The features of the items and users of a matrix: what a fit takes."""

from dataclasses import dataclass

import numpy as np
import scipy.sparse as sp

from recsys.base.errors import DataError
from recsys.base.matrix_input import as_csr
from recsys.features.factored import FeatureRows


@dataclass(frozen=True, eq=False)
class Features:
    """Features of the rows of a matrix of interactions; what has none is None.

    Parameters
    ----------
    items : csr_array or FeatureRows, shape (n_items, n_features), optional
        Row i describes column i of the matrix. A row of zeros is an item of which nothing is known.
    users : csr_array or FeatureRows, shape (n_users, n_features), optional
        Likewise of the rows of the matrix.

    Raises
    ------
    DataError
        If one is no sparse matrix of finite numbers.
    """

    items: sp.csr_array | FeatureRows | None = None
    users: sp.csr_array | FeatureRows | None = None

    def __post_init__(self) -> None:
        for name, matrix in (("items", self.items), ("users", self.users)):
            if matrix is None or isinstance(matrix, FeatureRows):
                continue
            if not sp.issparse(matrix) or matrix.ndim != 2:
                raise DataError(
                    f"features of {name}: expected a sparse matrix with a row for each, got "
                    f"{type(matrix).__name__}; encode a table with FeatureEncoder"
                )
            rows = as_csr(matrix, f"features of {name}", np.float32)
            if not np.isfinite(rows.data).all():
                raise DataError(f"features of {name}: expected finite numbers, got others")
            object.__setattr__(self, name, rows)

    def require_rows(self, n_users: int, n_items: int) -> None:
        """Raise a DataError unless there is a row for each user and item of a matrix."""
        for name, matrix, expected in (
            ("items", self.items, n_items),
            ("users", self.users, n_users),
        ):
            if matrix is not None and matrix.shape[0] != expected:
                raise DataError(
                    f"features of {name}: expected {expected:,} rows, as the matrix has {name}, "
                    f"got {matrix.shape[0]:,}; bring them to its rows with Encoded.rows"
                )
