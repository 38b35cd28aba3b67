r"""Positions of vectors on a plane: by UMAP, or by their two principal components.

UMAP (McInnes, Healy and Melville 2018) keeps neighbours together: the graph of the nearest
neighbours by cosine, here an exact one, is laid out by stochastic gradient descent. It starts at
the principal components, which give a map its large features (Kobak and Linderman 2021,
"Initialization is critical for preserving global data structure"), or, where points have positions
on an earlier map, there: then it makes fewer and smaller steps, and points stay where they were
unless their neighbours changed. Principal components of about the same length may change places
from day to day, so a later map by this method keeps the plane of the earlier one: it is the linear
projection that comes nearest to it.
"""

import warnings
from functools import cache
from importlib.util import find_spec
from typing import Any, Literal, get_args

import numpy as np
from numpy.typing import NDArray

from recsys.base.environment import extra, missing_package
from recsys.base.errors import ConfigError, briefly, did_you_mean
from recsys.base.jit import keep_compiled
from recsys.base.progress import OnStep
from recsys.base.threads import threads
from recsys.index import Searcher
from recsys.vectors import FloatMatrix

Method = Literal["umap", "pca"]
"""How positions are found."""

Positions = NDArray[np.floating]  # (n, 2)

METHODS: tuple[Method, ...] = get_args(Method)
"""The names of the methods."""

N_NEIGHBORS = 15  # of a point, itself among them
_EPOCHS = {"few": 500, "many": 200}  # of a new map
_FEW = 10_000
_EPOCHS_AGAIN, _RATE_AGAIN = 100, 0.2  # of a map that starts at an earlier one
_NEGATIVES = 5.0
_SPREAD, _LEAST_DISTANCE = 1.0, 0.1
_HALF_WIDTH = 10.0  # of where a new map starts
_BLOCK = 2048  # queries
_SHARPNESS = 10  # of the weights by cosine, by which a point stands between its neighbours


def method_for(method: str | None) -> Method:
    """Return the method that is asked for; by default UMAP where it is installed.

    Raises
    ------
    ConfigError
        If there is no such method, or its package is not installed.
    """
    has_umap = find_spec("umap") is not None
    if method is None:
        return "umap" if has_umap else "pca"
    if method not in METHODS:
        raise ConfigError(
            f"method: expected one of {', '.join(METHODS)}, got {briefly(method)}"
            f"{did_you_mean(method, METHODS)}"
        )
    if method == "umap" and not has_umap:
        raise missing_package("method umap", "umap", extra("map"), "take the method pca")
    return "pca" if method == "pca" else "umap"


def positions_of(
    units: FloatMatrix,
    *,
    method: Method,
    seed: int = 0,
    start: Positions | None = None,
    on_step: OnStep | None = None,
) -> NDArray[np.float32]:
    """Return a position for each vector, (n, 2).

    The same vectors, start and seed give the same positions on one machine.

    Parameters
    ----------
    units : ndarray of float32, shape (n, factors)
        Of length 1.
    start : ndarray of float, shape (n, 2), optional
        Positions on an earlier map by the same method, NaN where a vector has none. Those by UMAP
        are turned, mirrored and shifted onto them, never scaled.
    """
    on_step = on_step or (lambda done, total, note="": None)
    start = None if start is None or not _is_known(start).any() else start
    is_linear = method == "pca" or len(units) <= N_NEIGHBORS
    if is_linear and start is not None and _is_known(start).sum() > units.shape[1]:
        return _projected_onto(units, start)
    found = principal_components(units) if is_linear else _umap(units, seed, start, on_step)
    if start is None:
        return np.asarray(found - found.mean(axis=0), np.float32)
    return _moved_onto(found, start)


def principal_components(units: FloatMatrix) -> NDArray[np.float64]:
    """Return the two principal components of each vector, the largest coordinate 10, (n, 2)."""
    mean = units.mean(axis=0, dtype=np.float64)
    centred = units - mean.astype(np.float32)
    _, axes = np.linalg.eigh((centred.T @ centred).astype(np.float64))
    chosen = axes[:, ::-1][:, :2]
    # An eigenvector has two directions: the one whose largest entry is positive is taken.
    chosen = chosen * np.sign(chosen[np.abs(chosen).argmax(axis=0), range(chosen.shape[1])])
    found = np.zeros((len(units), 2))
    found[:, : chosen.shape[1]] = centred @ chosen
    largest = np.abs(found).max(initial=0)
    return found * (_HALF_WIDTH / largest) if largest else found


def between_neighbours(
    units: FloatMatrix, placed: FloatMatrix, positions: Positions, k: int = 5
) -> NDArray[np.float32]:
    """Return positions for vectors that have none: between the nearest of those that do, (n, 2).

    The mean of their positions, by the tenth power of the cosine.

    Parameters
    ----------
    units : ndarray of float32, shape (n, factors)
    placed, positions : ndarray, shapes (n_placed, factors) and (n_placed, 2)
    """
    rows, cosines = nearest(units, placed, min(k, len(placed)))
    weights = np.maximum(cosines, 1e-6).astype(np.float64) ** _SHARPNESS
    weights /= weights.sum(axis=1, keepdims=True)
    return np.asarray(np.einsum("ij,ijc->ic", weights, positions[rows]), np.float32)


def nearest(
    units: FloatMatrix, among: FloatMatrix, k: int, *, without_itself: bool = False
) -> tuple[NDArray[np.int32], FloatMatrix]:
    """Return the rows of the k nearest by cosine of each vector and their cosines, both (n, k).

    Parameters
    ----------
    without_itself : bool
        Row i of both is the same point, which is left out of its own list.
    """
    search = Searcher.of(among)
    n = len(units)
    starts = np.arange(n + 1, dtype=np.int64) if without_itself else np.zeros(n + 1, np.int64)
    exclude = np.arange(n if without_itself else 0, dtype=np.int32)
    units = np.ascontiguousarray(units, np.float32)

    def search_block(first: int) -> tuple[NDArray[np.int32], FloatMatrix]:
        block = slice(first, min(first + _BLOCK, n))
        return search.search_many(units[block], k, starts[block.start : block.stop + 1], exclude)

    with threads() as pool:
        found = pool.map(search_block, range(0, n, _BLOCK))
    rows, cosines = (np.concatenate(parts) for parts in zip(*found, strict=True))
    return rows, cosines


def _umap(
    units: FloatMatrix, seed: int, start: Positions | None, on_step: OnStep
) -> NDArray[np.float32]:
    layouts, umap_ = _umap_modules()
    n, k = len(units), min(N_NEIGHBORS, len(units) - 1)
    on_step(0, 3, "neighbours")
    others, cosines = nearest(units, units, k - 1, without_itself=True)
    rows = np.hstack([np.arange(n, dtype=np.int32)[:, None], others])
    distances = np.hstack([np.zeros((n, 1)), np.maximum(1 - cosines, 0)]).astype(np.float32)
    random = np.random.RandomState(seed)
    on_step(1, 3, "UMAP")
    graph, _, _ = umap_.fuzzy_simplicial_set(
        units, k, random, "cosine", knn_indices=rows, knn_dists=distances
    )
    if start is None:
        begin, rate = principal_components(units), 1.0
        epochs = _EPOCHS["few" if n <= _FEW else "many"]
    else:
        begin, rate, epochs = _filled(start, others, cosines), _RATE_AGAIN, _EPOCHS_AGAIN
    graph = _worth_a_step(graph.tocoo(), epochs)
    a, b = umap_.find_ab_params(_SPREAD, _LEAST_DISTANCE)
    found = _apart(begin, seed)
    state = random.randint(np.iinfo(np.int32).min + 1, np.iinfo(np.int32).max - 1, 3)
    on_step(2, 3, "UMAP")
    laid_out: NDArray[np.float32] = layouts.optimize_layout_euclidean(
        found,
        found,
        graph.row,
        graph.col,
        epochs,
        n,
        umap_.make_epochs_per_sample(graph.data, epochs),
        a,
        b,
        state.astype(np.int64),
        1.0,
        rate,
        _NEGATIVES,
        parallel=False,  # so that a seed gives one map
        move_other=True,
    )
    on_step(3, 3, "UMAP")
    return laid_out


@cache
def _umap_modules() -> tuple[Any, Any]:
    """Import what of UMAP is used, and have it compiled once for all processes, not in each."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of what its import finds or misses
        import umap.layouts as layouts
        import umap.umap_ as umap_

    for module, name in (
        (umap_, "smooth_knn_dist"),
        (umap_, "compute_membership_strengths"),
        (layouts, "_nb_optimize_layout_euclidean_single_epoch"),
    ):
        keep_compiled(getattr(module, name, None))  # another release may name them otherwise
    return layouts, umap_


def _worth_a_step(graph: Any, epochs: int) -> Any:
    """Return a graph without the edges that would be drawn in no epoch, as UMAP leaves them out."""
    graph.sum_duplicates()
    graph.data[graph.data < graph.data.max() / epochs] = 0
    graph.eliminate_zeros()
    return graph


def _filled(
    start: Positions, others: NDArray[np.int32], cosines: FloatMatrix
) -> NDArray[np.float64]:
    """Return where points start: a new one amid its neighbours, or else in the middle, (n, 2)."""
    known = _is_known(start)
    found = np.where(known[:, None], start, 0.0)
    found[~known] = found[known].mean(axis=0)
    new = np.flatnonzero(~known)
    weights = np.where(known[others[new]], np.maximum(cosines[new], 1e-6), 0.0)
    total = weights.sum(axis=1)
    has_known = total > 0
    mean = np.einsum("ij,ijc->ic", weights[has_known], found[others[new[has_known]]])
    found[new[has_known]] = mean / total[has_known, None]
    return found


def _apart(begin: Positions, seed: int) -> NDArray[np.float32]:
    """Return positions moved by a hair, as no gradient parts two points in one place, (n, 2)."""
    noise = np.random.default_rng(seed).normal(scale=1e-3, size=begin.shape)
    return np.ascontiguousarray(begin + noise, np.float32)


def _moved_onto(found: Positions, start: Positions) -> NDArray[np.float32]:
    """Return positions turned, mirrored and shifted so that they come near to earlier ones."""
    known = _is_known(start)
    own, onto = found[known], start[known]
    mean, target = own.mean(axis=0), onto.mean(axis=0)
    left, _, right = np.linalg.svd((own - mean).T @ (onto - target))
    return np.asarray((found - mean) @ (left @ right) + target, np.float32)


def _projected_onto(units: FloatMatrix, start: Positions) -> NDArray[np.float32]:
    """Return the linear projection of vectors that comes nearest to earlier positions."""
    with_one = np.hstack([units, np.ones((len(units), 1))]).astype(np.float64)
    known = _is_known(start)
    projection = np.linalg.lstsq(with_one[known], start[known].astype(np.float64), rcond=None)[0]
    return np.asarray(with_one @ projection, np.float32)


def _is_known(start: Positions) -> NDArray[np.bool_]:
    return np.asarray(~np.isnan(start).any(axis=1))
