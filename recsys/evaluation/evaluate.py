"""The protocol: all items ranked by exact scores, what the user has seen in train left out."""

from collections.abc import Sequence
from typing import TypeVar

import scipy.sparse as sp

from recsys.base.checks import require
from recsys.base.devices import Device
from recsys.base.errors import DataError
from recsys.evaluation.held_out import (
    DEFAULT_BATCH_BYTES,
    NOT_DRAWN,
    HeldOut,
    dislikes_of,
    drawn,
    evaluate_pairs,
    left_out_by_split,
    lengths,
    pattern,
)
from recsys.evaluation.result import Evaluation
from recsys.logs import Interactions
from recsys.splits.leaks import (
    require_disjoint,
    require_known_items,
    require_known_users,
    require_roles,
    require_time_order,
    unknown_items,
    unknown_users,
)
from recsys.vectors import Scorer

Part = TypeVar("Part", Interactions, sp.csr_array)


def evaluate(
    scorer: Scorer,
    train: Part,
    test: Part,
    k: int | Sequence[int] = 20,
    *,
    allow_unknown: bool = False,
    most_users: int | None = None,
    seed: int = 0,
    batch_bytes: int = DEFAULT_BATCH_BYTES,
    auc: bool = True,
    device: Device | None = None,
    progress: bool = False,
) -> Evaluation:
    """Evaluate embeddings, or another scorer, on held-out interactions.

    Every item that a user has not seen in train is ranked by its exact score, ties by lower
    ``item_idx``; the user's items in test are the relevant ones, whatever their weight. Users
    without test items are left out and counted, as are the users and items that train does not
    know; `evaluate_new_users` measures what such new users get.

    Parameters
    ----------
    scorer : Embeddings or Scorer
        Fitted on train: one row per user and item of train.
    train, test : Interactions, or csr_array of shape (n_users, n_items)
        Over the same users and items, as the splits of `recsys.splits` return them.
    k : int or sequence of int
        Length of the lists, at least 1; of several, all from one ranking.
    allow_unknown : bool
        Let users and items pass that only test has, and count them in `left_out` as "ranked". They
        are a leak: the catalogue was made with test in hand. But the code of NGCF, LightGCN and
        others has them, and their published figures are reproduced no other way.
    most_users : int, optional
        Users that are measured, drawn at random with the seed where more have test items; the
        others are counted in `left_out`. The time grows with users times items.
    seed : int
        Of the draw.
    batch_bytes : int
        Bound on the scores that are held at a time; the result does not depend on it.
    auc : bool
        Measure "auc" as well, which needs the scores of all items.
    device : {"auto", "cpu", "cuda"}, optional
        Where lists of embeddings are made without "auc"; with it, on the CPU. Default: as a block
        of `on_device` says, else the CPU.
    progress : bool
        Show a bar, if stderr is a terminal.

    Returns
    -------
    Evaluation
        The metrics of `recsys.evaluation.metrics` and `recsys.evaluation.beyond_accuracy`, by
        name and length ("disliked" where test has dislikes), those of single users with intervals;
        "auc", of the whole ranking, has no length.

    Raises
    ------
    DataError
        If train and test differ in users or items, the embeddings have other rows, no user has a
        test item, or k is less than 1; and where something leaked, see `recsys.splits.leaks`: a
        pair that both have, a user or item that only test has, a train part as test, an order in
        time other than the split promises.
    ConfigError
        If batch_bytes is not above 0, or a card is asked for by name and there is none.

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
    require("evaluate", batch_bytes, above=0, expected="batch_bytes above 0")
    left_out = left_out_by_split(test)
    seen, relevant = matrices(train, test)
    _require_rows(scorer, seen)
    _require_no_leak(train, test, seen, relevant)
    if allow_unknown:
        left_out |= _unknown_but_ranked(seen, relevant)
    else:
        _require_known(train, seen, relevant)
    if most_users is not None:
        require("evaluate", most_users, least=1, expected="most_users of 1 or more")
        relevant, n_others = drawn(relevant, most_users, seed)
        left_out |= {NOT_DRAWN: n_others} if n_others else {}
    return evaluate_pairs(
        scorer,
        HeldOut(seen, relevant, likes_of(train, seen), left_out, _dislikes_of(test)),
        ks,
        batch_bytes=batch_bytes,
        auc=auc,
        device=device,
        progress=progress,
    )


def matrices(
    train: Interactions | sp.csr_array, test: Interactions | sp.csr_array
) -> tuple[sp.csr_array, sp.csr_array]:
    """Return which pairs are seen in train and liked in test, as matrices of ones."""
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
        return pattern(train.user_items(signed=True)), pattern(test.user_items())
    if isinstance(train, Interactions) or isinstance(test, Interactions):
        raise DataError("evaluate: expected two Interactions or two matrices, got one of each")
    for part in (train, test):
        if not sp.issparse(part):
            raise DataError(
                "evaluate: expected two Interactions or two sparse matrices, got "
                f"{type(part).__name__}; read a log with recsys.read_log, and split it"
            )
    if train.shape != test.shape:
        raise DataError(
            f"evaluate: expected train and test of equal shape, got {train.shape} and {test.shape}"
        )
    return pattern(train), pattern(test)


def likes_of(train: Interactions | sp.csr_array, seen: sp.csr_array) -> sp.csr_array:
    """Return the pairs that make items popular: what is seen, but for dislikes."""
    if isinstance(train, Interactions) and train.dislikes is not None:
        return pattern(train.user_items())
    return seen


def _dislikes_of(test: Interactions | sp.csr_array) -> sp.csr_array | None:
    return dislikes_of(test) if isinstance(test, Interactions) else None


def _require_rows(scorer: Scorer, seen: sp.csr_array) -> None:
    if not (hasattr(scorer, "shape") and callable(getattr(scorer, "scores", None))):
        raise DataError(
            "evaluate: expected embeddings, or what scores items for users, got "
            f"{type(scorer).__name__}; pass what a model's fit returns"
        )
    expected, got = seen.shape, tuple(scorer.shape)
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
