"""What lists of new items are compared to: content alone, and the feature-aware iALS of irspack."""

import re
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from dataclasses import dataclass
from functools import partial
from io import StringIO
from itertools import chain
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import scipy.sparse as sp
from numpy.typing import NDArray

from recsys.vectors import Embeddings, FloatMatrix, Scorer

if TYPE_CHECKING:
    from benchmarks.cold import Part

FACTORS, EPOCHS = 64, 16


@dataclass(frozen=True)
class _Scores:
    """Scores of new items that are made for some users at a time."""

    shape: tuple[int, int]
    make: Callable[[NDArray[np.integer]], Any]

    def scores(self, user_idx: NDArray[np.integer], out: FloatMatrix | None = None) -> FloatMatrix:
        found: FloatMatrix = np.asarray(self.make(user_idx), dtype=np.float32)
        if out is None:
            return found
        out[:] = found
        return out


def category_popularity(part: "Part") -> Scorer:
    """Rank by the categories that a user had most of, and by how popular each is.

    A category is a genre, or else a word of the title; its popularity is the mean number of users
    of its items in train. An item has the mean of its categories.
    """
    known, new = (_categories(table, part.columns) for table in (part.known, part.new))
    words = sorted(set(chain.from_iterable([*known, *new])))
    number = {word: n for n, word in enumerate(words)}
    of_known, of_new = (_indicators(words, number) for words in (known, new))
    seen = _pattern(part)
    n_users = np.asarray(seen.sum(axis=0)).ravel()
    counts = np.maximum(np.asarray(of_known.sum(axis=0)).ravel(), 1)
    popular = (of_known.T @ n_users) / counts
    own = _by_row(sp.csr_array(seen @ of_known))  # the share of each category of a user's items
    items = _by_row(of_new)
    weighted = sp.csr_array(items @ sp.diags_array(popular))
    shape = (seen.shape[0], items.shape[0])
    return _Scores(shape, lambda users: (own[users] @ weighted.T).toarray())


def nearest(part: "Part", n: int | None) -> Scorer:
    """Rank by the cosines of TF-IDF words with the n most similar items of a history, or all."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    known, new = (_texts(table, part.columns) for table in (part.known, part.new))
    words = sp.csr_array(TfidfVectorizer().fit_transform(known + new))
    of_history, seen = sp.csr_array(words[: len(known)]), _pattern(part)
    words = sp.csr_array(words[len(known) :])
    shape = (seen.shape[0], words.shape[0])
    if n is None:
        profile = sp.csr_array(seen @ of_history)
        return _Scores(shape, lambda users: (profile[users] @ words.T).toarray())
    alike = (words @ of_history.T).toarray().astype(np.float32)  # (n_new, n_known)

    def scores(users: NDArray[np.integer]) -> FloatMatrix:
        found = np.zeros((len(users), shape[1]), dtype=np.float32)
        for row, user in enumerate(users.tolist()):
            own = alike[:, seen.indices[seen.indptr[user] : seen.indptr[user + 1]]]
            best = min(n, own.shape[1])
            if best:
                found[row] = np.partition(own, own.shape[1] - best, axis=1)[:, -best:].sum(axis=1)
        return found

    return _Scores(shape, scores)


def irspack_trials(n: int, seed: int = 0) -> Iterator[tuple[Any, Callable[["Part"], Scorer]]]:
    """Yield settings at random, of the sizes that irspack's own search tries.

    Each is tried with our features, and with the words and categories of scikit-learn.
    """
    import irspack  # noqa: F401 (an ImportError is the answer)

    rng = np.random.default_rng(seed)
    for _ in range(n):
        settings = {
            "alpha0": float(np.exp(rng.uniform(np.log(3e-3), 0))),
            "reg": float(np.exp(rng.uniform(np.log(1e-4), np.log(1e-1)))),
            "lambda_item_feature": float(np.exp(rng.uniform(np.log(1e-2), np.log(1e3)))),
        }
        for features in ("ours", "words"):
            yield {"features": features, **settings}, partial(_irspack, features, settings=settings)


def _irspack(features: str, part: "Part", settings: dict[str, Any]) -> Scorer:
    from irspack.recommenders.ials import IALSRecommender

    of_known, of_new = part.features if features == "ours" else _plain_features(part)
    model = IALSRecommender(
        sp.csr_matrix(_pattern(part)),
        n_components=FACTORS,
        train_epochs=EPOCHS,
        item_features=sp.csr_matrix(of_known),
        **settings,
    )
    with redirect_stdout(StringIO()):  # it draws a bar
        model.learn()
    new = model.compute_item_embedding_from_features(sp.csr_matrix(of_new))
    users = model.get_user_embedding()
    return Embeddings(
        np.ascontiguousarray(users, np.float32), np.ascontiguousarray(new, np.float32)
    )


def _plain_features(part: "Part") -> tuple[sp.csr_array, sp.csr_array]:
    """Return TF-IDF of the words of titles, genres one-hot, and a constant."""
    from sklearn.feature_extraction.text import CountVectorizer, TfidfVectorizer

    entries = r"[^|]+"
    blocks: list[tuple[Any, Any]] = []
    for name, kind in part.columns.items():
        known, new = (
            ["" if one is None else str(one) for one in table[name].to_pylist()]
            for table in (part.known, part.new)
        )
        of = TfidfVectorizer() if kind == "text" else CountVectorizer(token_pattern=entries)
        blocks.append((of.fit_transform(known), of.transform(new)))
    of_known, of_new = (
        sp.hstack([np.ones((blocks[0][at].shape[0], 1)), *(block[at] for block in blocks)])
        for at in (0, 1)
    )
    return sp.csr_array(of_known, dtype=np.float32), sp.csr_array(of_new, dtype=np.float32)


def _pattern(part: "Part") -> sp.csr_array:
    seen = part.train.user_items().copy()
    seen.data = np.ones_like(seen.data)
    return seen


def _texts(table: pa.Table, columns: dict[str, str]) -> list[str]:
    rows = zip(*(table[name].to_pylist() for name in columns), strict=True)
    return [" ".join(str(value or "").replace("|", " ") for value in row) for row in rows]


def _categories(table: pa.Table, columns: dict[str, str]) -> list[list[str]]:
    name, kind = next(iter(columns.items()))
    values = [str(value or "") for value in table[name].to_pylist()]
    if kind == "list":
        return [value.split("|") for value in values]
    return [sorted(set(re.findall(r"\w+", value.lower()))) for value in values]


def _indicators(words: list[list[str]], number: dict[str, int]) -> sp.csr_array:
    rows = np.repeat(np.arange(len(words)), list(map(len, words)))
    columns = np.array([number[word] for own in words for word in own], dtype=np.int64)
    ones = np.ones(len(columns), dtype=np.float32)
    return sp.csr_array((ones, (rows, columns)), shape=(len(words), len(number)))


def _by_row(matrix: sp.csr_array) -> sp.csr_array:
    """Divide each row by its sum."""
    sums = np.maximum(np.asarray(matrix.sum(axis=1)).ravel(), 1e-9)
    return sp.csr_array(sp.diags_array(1 / sums) @ matrix)
