"""Yesterday's embeddings on today's rows."""

import numpy as np

from recsys.vectors.embeddings import Embeddings, FloatMatrix
from recsys.vectors.ids import Ids


def carry_over(
    embeddings: Embeddings, users: Ids, items: Ids, *, to_users: Ids, to_items: Ids
) -> Embeddings:
    """Bring embeddings to other users and items, matched by id.

    Parameters
    ----------
    embeddings : Embeddings
        Of `users` and `items`.
    users, items : Ids
    to_users, to_items : Ids
        The rows wanted.

    Returns
    -------
    Embeddings
        Of `to_users` and `to_items`. A newcomer has a zero row, which a fit that starts here
        solves from the others in its first epoch.

    Examples
    --------
    >>> old = Embeddings(np.ones((1, 2), np.float32), np.ones((2, 2), np.float32))
    >>> new = carry_over(
    ...     old, Ids(["ann"]), Ids(["a", "b"]), to_users=Ids(["ann", "bob"]), to_items=Ids(["b"])
    ... )
    >>> new.users.tolist(), new.items.tolist()
    ([[1.0, 1.0], [0.0, 0.0]], [[1.0, 1.0]])
    """
    return Embeddings(
        _rows_of(embeddings.users, users, to_users), _rows_of(embeddings.items, items, to_items)
    )


def _rows_of(matrix: FloatMatrix, ids: Ids, wanted: Ids) -> FloatMatrix:
    rows = ids.rows_of(wanted)
    carried = np.zeros((len(wanted), matrix.shape[1]), dtype=np.float32)
    carried[rows >= 0] = matrix[rows[rows >= 0]]
    return carried
