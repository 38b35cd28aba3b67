"""New items beside known ones: a dense twin, near-duplicates, the same bits in any batch."""

import numpy as np
import scipy.sparse as sp

from recsys.features import FeatureRows, KnownItems, feature_map, vectors_of_features
from recsys.features.alike import FEW_USERS, NEAREST, POWER, SHRINK

N_KNOWN, N_NEW, N_FEATURES, N_WORDS, FACTORS = 90, 70, 40, 25, 5


def _world() -> tuple[FeatureRows, np.ndarray, np.ndarray, np.ndarray]:
    """Return features with a constant and words of parts, vectors, users, and a map."""
    rng = np.random.default_rng(0)
    n = N_KNOWN + N_NEW
    plain = rng.random((n, N_FEATURES)) * (rng.random((n, N_FEATURES)) < 0.1)
    left = rng.random((n, N_WORDS)) * (rng.random((n, N_WORDS)) < 0.1)
    right = rng.random((N_WORDS, N_FEATURES)) * (rng.random((N_WORDS, N_FEATURES)) < 0.2)
    right[:, 0] = 0
    plain[:, 0] = 1
    plain[7:9], left[7:9] = plain[5], left[5]  # three of the same
    plain[[3, -1]] = left[[3, -1]] = 0  # of which nothing is known
    matrices = (sp.csr_array(one.astype(np.float32)) for one in (plain, left, right))
    vectors = rng.normal(size=(n, FACTORS)).astype(np.float32)
    n_users = rng.integers(0, 30, n)
    n_users[N_KNOWN:] = 0
    return FeatureRows(*matrices), vectors, n_users, rng.normal(size=(N_FEATURES, FACTORS))


def _twin(
    features: np.ndarray, vectors: np.ndarray, n_users: np.ndarray, to: np.ndarray
) -> np.ndarray:
    """Return the rows of new items in float64, one by one."""
    known = np.flatnonzero((n_users > 0) & features.any(axis=1))
    left = vectors[known] - features[known] @ to
    units = features[:, 1:]  # the first is the same of all
    units = units / np.maximum(np.linalg.norm(units, axis=1, keepdims=True), 1e-30)
    found = features @ to
    for row in range(N_KNOWN, len(features)):
        cosine = units[known] @ units[row]
        near = cosine >= np.sort(cosine)[-NEAREST] - 1e-7
        weight = near * cosine**POWER * n_users[known] / (n_users[known] + FEW_USERS)
        found[row] += weight @ left / (SHRINK + weight.sum())
    return found[N_KNOWN:]


def test_new_items_get_the_local_mean_of_what_the_map_leaves() -> None:
    features, vectors, n_users, to = _world()
    known = KnownItems.of(features, vectors, n_users, to.astype(np.float32))
    new = features.take(np.arange(N_KNOWN, N_KNOWN + N_NEW))
    found = known.vectors(new)
    twin = _twin(features.tocsr().toarray().astype(np.float64), vectors, n_users, to)
    np.testing.assert_allclose(found, twin, atol=1e-4)
    assert not found[-1].any()
    one_by_one = [known.vectors(new.take(np.array([row]))) for row in range(N_NEW)]
    np.testing.assert_array_equal(found, np.vstack(one_by_one))
    nobody = KnownItems.of(features, vectors, np.zeros_like(n_users), known.map)
    np.testing.assert_array_equal(nobody.vectors(new), vectors_of_features(new, known.map))


def test_what_a_pair_of_words_says_goes_to_their_near_duplicates() -> None:
    rng = np.random.default_rng(1)
    first, second = np.divmod(np.arange(100), 10)
    words = np.hstack([np.eye(10)[first], np.eye(10)[second], np.zeros((100, 100))])
    of_new = words.copy()
    of_new[:, 20:] = np.eye(100) * 0.3  # each with a word that nobody has seen
    vectors = rng.normal(size=(100, 8)).astype(np.float32)  # of each pair, not of its words
    features, new = sp.csr_array(words, dtype=np.float32), sp.csr_array(of_new, dtype=np.float32)
    n_users = np.full(100, 50)
    to = feature_map(features, vectors, np.ones(100), 0.5)

    def mean_cosine(found: np.ndarray) -> float:
        lengths = np.linalg.norm(found, axis=1) * np.linalg.norm(vectors, axis=1)
        return float(((found * vectors).sum(axis=1) / lengths).mean())

    beside = KnownItems.of(features, vectors, n_users, to).vectors(new)
    assert mean_cosine(vectors_of_features(new, to)) < 0.5
    assert mean_cosine(beside) > 0.7
