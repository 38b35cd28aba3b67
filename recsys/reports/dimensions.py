"""Measuring the dimension curve: one number of factors after another."""

from collections.abc import Iterator, Sequence
from dataclasses import fields, replace
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from threadpoolctl import threadpool_limits

from recsys.errors import ConfigError
from recsys.evaluation import evaluate
from recsys.index import ExactIndex
from recsys.logs import Interactions
from recsys.models import Model
from recsys.progress import progress_bar
from recsys.reports.curve import DimensionPoint
from recsys.vectors import STORAGES, Embeddings, StoredMatrix, encode

_TIMED_USERS = 200
_WARM_UP_USERS = 100


def numbers_of_factors(text: str) -> list[int]:
    """Return the numbers in a text such as "16,32,64".

    Raises
    ------
    ConfigError
        If there is none, or one is not a whole number above 0.
    """
    parts = [part.strip() for part in text.split(",") if part.strip()]
    if not parts or not all(part.isdecimal() and int(part) > 0 for part in parts):
        raise ConfigError(
            "dimensions: expected whole numbers of factors above 0, separated by commas, such as "
            f"16,32,64, got {text!r}"
        )
    return [int(part) for part in parts]


def measure_dimensions(
    model: Model,
    train: Interactions,
    test: Interactions,
    factors: Sequence[int],
    *,
    k: int = 20,
    progress: bool = False,
) -> Iterator[DimensionPoint]:
    """Fit and evaluate a model with each number of factors, small ones first.

    Points come as they are measured, so that whoever stops early keeps what there is.

    Parameters
    ----------
    model : Model
        Its other hyperparameters stay as they are.
    train, test : Interactions
        As one of the splits returns them.
    factors : sequence of int
        Each at least 1; a number given twice is measured once.
    k : int
        Length of the lists.
    progress : bool
        Show a bar for each fit and evaluation, if stderr is a terminal.

    Yields
    ------
    DimensionPoint
        For each number of factors one in float32, one in float16 and one in int8.

    Raises
    ------
    ConfigError
        If the model has no factors, or a number of them is out of range.
    DataError
        If the log cannot be fitted or evaluated.
    """
    models = [_with_factors(model, number) for number in sorted(set(factors))]
    user_items = train.user_items()
    for place, sized in enumerate(models):
        if place == 0:
            _compile(sized, user_items)
        size = sized.factors  # type: ignore[attr-defined]  # _with_factors has looked
        what = f"fitting {model.name}, {size} factors ({place + 1} of {len(models)})"
        with progress_bar(what, enabled=progress) as on_step:
            start = perf_counter()
            embeddings = sized.fit(user_items, on_step)
            seconds = perf_counter() - start
        microseconds = _query_microseconds(embeddings, user_items, k)
        for storage in STORAGES:
            users, items = encode(embeddings.users, storage), encode(embeddings.items, storage)
            decoded = Embeddings(users.decode(), items.decode())
            yield DimensionPoint(
                factors=size,
                storage=storage,
                evaluation=evaluate(decoded, train, test, k=k, progress=progress),
                vector_bytes=_vector_bytes(items),
                n_bytes=users.n_bytes + items.n_bytes,
                train_seconds=seconds,
                query_microseconds=microseconds,
            )


def _with_factors(model: Model, factors: int) -> Model:
    """Return the model with another number of factors."""
    if "factors" not in {field.name for field in fields(model)}:  # type: ignore[arg-type]
        raise ConfigError(
            f"dimensions: expected a model with factors, such as als or svd, got {model.name}"
        )
    return replace(model, factors=factors)  # type: ignore[type-var]


def _compile(model: Model, user_items: sp.csr_array) -> None:
    """Fit the most active users, so that the first time measured is not that of the compiler."""
    most_active = np.argsort(-np.diff(user_items.indptr), kind="stable")[:_WARM_UP_USERS]
    model.fit(user_items[most_active])


def _query_microseconds(embeddings: Embeddings, user_items: sp.csr_array, k: int) -> float:
    """Time the exact search for users from all over the matrix, their seen items left out.

    On one core: what a server that answers several users at once needs for each.
    """
    index = ExactIndex.of(embeddings.items)
    n_users = len(embeddings.users)
    seconds = []
    with threadpool_limits(1, user_api="blas"):
        for user in np.linspace(0, n_users - 1, min(_TIMED_USERS, n_users)).astype(np.int32):
            seen = user_items.indices[user_items.indptr[user] : user_items.indptr[user + 1]]
            start = perf_counter()
            index.search(embeddings.users[user], k, seen)
            seconds.append(perf_counter() - start)
    return float(np.median(seconds)) * 1e6


def _vector_bytes(stored: StoredMatrix) -> int:
    return stored.n_bytes // len(stored.values)
