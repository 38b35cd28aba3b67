"""The protocol: all items ranked by exact scores, what the user has seen in train left out."""

from collections.abc import Mapping, Sequence
from typing import overload

import numpy as np
import scipy.sparse as sp

from recsys.base.errors import ConfigError, DataError
from recsys.base.progress import progress_bar
from recsys.evaluation.beyond_accuracy import BeyondAccuracy
from recsys.evaluation.ranking import Scorer, Tally, rank
from recsys.evaluation.result import Evaluation, ItemCounts
from recsys.logs import Interactions
from recsys.splits import SPLIT_REASONS
from recsys.splits.leaks import (
    require_disjoint,
    require_known_items,
    require_known_users,
    require_roles,
    require_time_order,
    unknown_items,
    unknown_users,
)
from recsys.vectors import Embeddings

DEFAULT_BATCH_BYTES = 256 * 1024**2


@overload
def evaluate(
    scorer: Scorer,
    train: Interactions,
    test: Interactions,
    k: int | Sequence[int] = 20,
    *,
    allow_unknown: bool = False,
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    progress: bool = False,
) -> Evaluation: ...
@overload
def evaluate(
    scorer: Scorer,
    train: sp.csr_array,
    test: sp.csr_array,
    k: int | Sequence[int] = 20,
    *,
    allow_unknown: bool = False,
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    progress: bool = False,
) -> Evaluation: ...
def evaluate(
    scorer: Scorer,
    train: Interactions | sp.csr_array,
    test: Interactions | sp.csr_array,
    k: int | Sequence[int] = 20,
    *,
    allow_unknown: bool = False,
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    progress: bool = False,
) -> Evaluation:
    """Evaluate embeddings, or another scorer, on held-out interactions.

    Every item that a user has not seen in train is ranked by its exact score, ties by lower
    ``item_idx``; the user's items in test are the relevant ones, whatever their weight. Users
    without test items are left out and counted, as are the users and items that train does not
    know; what such new users get is told by `evaluate_new_users`.

    Parameters
    ----------
    scorer : Embeddings or Scorer
        Fitted on train: one row per user and item of train.
    train, test : Interactions, or csr_array of shape (n_users, n_items)
        Over the same users and items, as the splits of `recsys.logs` return them.
    k : int or sequence of int
        Length of the lists, at least 1; of several, all from one ranking.
    allow_unknown : bool
        Let users and items pass that only test has, and count them in `left_out` as "ranked". They
        are a leak: the catalogue was made with test in hand. But the code of NGCF, LightGCN and
        others has them, and their published figures are reproduced no other way.
    batch_bytes : int
        Bound on the scores that are held at a time; the result does not depend on it.
    progress : bool
        Show a bar, if stderr is a terminal.

    Returns
    -------
    Evaluation
        The metrics of `recsys.evaluation.metrics` and `recsys.evaluation.beyond_accuracy`, by
        name and length, those of single users with intervals; "auc", of the whole ranking, has
        no length.

    Raises
    ------
    DataError
        If train and test differ in users or items, the embeddings have other rows, no user has a
        test item, or k is less than 1; and where something leaked, see `recsys.splits.leaks`: a
        pair that both have, a user or item that only test has, a train part as test, an order in
        time other than the split promises.
    ConfigError
        If batch_bytes is not above 0.

    Examples
    --------
    >>> import numpy as np
    >>> import scipy.sparse as sp
    >>> from recsys.vectors import Embeddings
    >>> train = sp.csr_array([[1.0, 0.0, 1.0], [0.0, 1.0, 0.0]])
    >>> test = sp.csr_array([[0.0, 1.0, 0.0], [0.0, 0.0, 1.0]])
    >>> popularity = Embeddings(
    ...     users=np.ones((2, 1), dtype=np.float32),
    ...     items=np.array([[9], [5], [1]], dtype=np.float32),
    ... )
    >>> evaluate(popularity, train, test, k=1).metrics["recall@1"]
    0.5
    """
    ks = lengths(k)
    if not batch_bytes > 0:
        raise ConfigError(f"evaluate: expected batch_bytes above 0, got {batch_bytes}")
    left_out = left_out_by_split(test)
    seen, relevant = matrices(train, test)
    _require_rows(scorer, seen)
    _require_no_leak(train, test, seen, relevant)
    if allow_unknown:
        left_out |= _unknown_but_ranked(seen, relevant)
    else:
        _require_known(train, seen, relevant)
    return measure(
        scorer,
        seen,
        relevant,
        ks,
        train=seen,
        left_out=left_out,
        batch_bytes=batch_bytes,
        progress=progress,
    )


def measure(
    scorer: Scorer,
    seen: sp.csr_array,
    relevant: sp.csr_array,
    ks: Sequence[int],
    *,
    train: sp.csr_array,
    left_out: Mapping[str, int],
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    progress: bool = False,
) -> Evaluation:
    """Rank for every user with a relevant item, and measure: what all protocols end with.

    Parameters
    ----------
    scorer : Scorer
    seen, relevant : csr_array of ones, shape (n_users, n_items)
        What lists must not hold, and what they should.
    ks : sequence of int
        Lengths of lists, ascending.
    train : csr_array of ones, shape (any, n_items)
        Whose users say how popular an item is: those of `seen`, where these were trained on.
    left_out : mapping of str to int
        What the split left out; users without test items are added.
    batch_bytes, progress
        As in `evaluate`.

    Raises
    ------
    DataError
        If no user has a relevant item.
    """
    n_relevant = np.diff(relevant.indptr)
    user_idx = np.nonzero(n_relevant)[0].astype(np.int32)
    if len(user_idx) == 0:
        raise DataError(
            f"evaluate: expected test items for at least one user, got none for "
            f"{len(n_relevant):,} users; choose another split"
        )
    if len(user_idx) < len(n_relevant):
        left_out = {**left_out, "users without test items": len(n_relevant) - len(user_idx)}
    popularity = np.bincount(train.indices, minlength=train.shape[1])
    items = scorer.items if isinstance(scorer, Embeddings) else None
    beyond = BeyondAccuracy(popularity, train.shape[0], items, ks, len(user_idx))
    tally = Tally(ks, len(user_idx), beyond, seen.shape[1])
    with progress_bar("evaluating", enabled=progress) as on_step:
        rank(
            scorer,
            seen,
            relevant,
            user_idx,
            ks[-1],
            tally.take,
            batch_bytes=batch_bytes,
            on_step=on_step,
        )
    histories = seen[user_idx]
    return Evaluation.of(
        tally.per_user,
        beyond.overall(beyond.share_of(histories.indptr, histories.indices)),
        k=ks[-1],
        n_items=seen.shape[1],
        left_out=left_out,
        user_idx=user_idx,
        n_seen=np.diff(histories.indptr),
        items=ItemCounts(
            popularity=popularity,
            n_relevant=np.bincount(relevant.indices, minlength=relevant.shape[1]),
            n_found=tally.n_found,
        ),
    )


def lengths(k: int | Sequence[int]) -> tuple[int, ...]:
    """Return the lengths of lists, ascending and each once."""
    ks = sorted({k} if isinstance(k, int | np.integer) else set(k))
    if not ks or ks[0] < 1:
        raise DataError(f"evaluate: expected k of 1 or more, got {k}")
    return tuple(ks)


def left_out_by_split(test: Interactions | sp.csr_array) -> dict[str, int]:
    """Return what the split of a test part left out: events by reason, and whom and what."""
    if not isinstance(test, Interactions):
        return {}
    counts = test.row_counts.left_out
    left_out = {
        f"test events: {reason}": counts[reason] for reason in SPLIT_REASONS if reason in counts
    }
    if test.split_info is not None and test.split_info.n_new_users:
        left_out["test users not in train"] = test.split_info.n_new_users
    if test.split_info is not None and test.split_info.n_new_items:
        left_out["test items not in train"] = test.split_info.n_new_items
    return left_out


def matrices(
    train: Interactions | sp.csr_array, test: Interactions | sp.csr_array
) -> tuple[sp.csr_array, sp.csr_array]:
    """Return which pairs are in train and in test, as matrices of ones."""
    if isinstance(train, Interactions) and isinstance(test, Interactions):
        for name, ours, theirs in (
            ("users", train.users, test.users),
            ("items", train.items, test.items),
        ):
            if ours is not theirs and ours != theirs:
                raise DataError(
                    f"evaluate: expected train and test over the same {name}, got {len(ours):,} "
                    f"and {len(theirs):,} that are not the same; use one of the splits, or "
                    "split_given for two logs"
                )
        return pattern(train.user_items()), pattern(test.user_items())
    if isinstance(train, Interactions) or isinstance(test, Interactions):
        raise DataError("evaluate: expected two Interactions or two matrices, got one of each")
    if train.shape != test.shape:
        raise DataError(
            f"evaluate: expected train and test of equal shape, got {train.shape} and {test.shape}"
        )
    return pattern(train), pattern(test)


def pattern(matrix: sp.csr_array) -> sp.csr_array:
    """Return ones where a matrix is not zero, with ascending indices."""
    pattern = sp.csr_array(matrix, copy=True)
    pattern.sum_duplicates()
    pattern.eliminate_zeros()
    pattern.data = np.ones(pattern.nnz, dtype=np.int8)
    return pattern


def _require_rows(scorer: Scorer, seen: sp.csr_array) -> None:
    expected, got = seen.shape, scorer.shape
    if expected != got:
        raise DataError(
            f"evaluate: expected embeddings of the {expected[0]:,} users and {expected[1]:,} items "
            f"of train, got {got[0]:,} and {got[1]:,}; evaluate with the train part of the fit"
        )


def _require_no_leak(
    train: Interactions | sp.csr_array,
    test: Interactions | sp.csr_array,
    seen: sp.csr_array,
    relevant: sp.csr_array,
) -> None:
    if isinstance(train, Interactions) and isinstance(test, Interactions):
        require_roles(train, test, "evaluate")
        require_time_order(train, test, "evaluate")
    require_disjoint(seen, relevant, "evaluate")


def _require_known(
    train: Interactions | sp.csr_array, seen: sp.csr_array, relevant: sp.csr_array
) -> None:
    require_known_users(seen, relevant, "evaluate")
    part = train.split_info if isinstance(train, Interactions) else None
    # The items of held-out users are those of other users, who were trained on.
    if part is None or part.role != "history":
        require_known_items(seen, relevant, "evaluate")


def _unknown_but_ranked(seen: sp.csr_array, relevant: sp.csr_array) -> dict[str, int]:
    n_unknown = {
        "test users not in train, ranked": len(unknown_users(seen, relevant)),
        "test items not in train, ranked": len(unknown_items(seen, relevant)),
    }
    return {name: n for name, n in n_unknown.items() if n}
