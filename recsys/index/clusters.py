"""Items in clusters, and 4 bits of what each adds to its center: what a query reads first.

Where norms differ, the scan in their order ends early. Unit vectors have no large ones: there the
clusters whose centers score highest hold the best items. All others can be passed over exactly:
codes in 4 bits of an item less its center, along the axes in which these differ most, bound its
score, as in RaBitQ (Gao and Long, SIGMOD 2024), but without a chance to be wrong. On a million
vectors some blocks in a hundred are left to be read in 8 bits.
"""

from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from recsys.base.reading import damaged, open_array
from recsys.base.stopping import check_stop
from recsys.base.threads import Threads, chunks, one_blas_thread, threads
from recsys.index.quantized import PER_BLOCK, Codes, encode_items
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.vector import norms_of

PER_PAIR = 8
"""Numbers in 4 bits that an int holds."""

_MOST_AXES = 128
_MIDDLE = 7.5  # of the codes, 0 to 15
_ROUNDING = 1e-5  # what float32 may add to a dot product, as a share of the norms
_LEAST_STEP = np.finfo(np.float32).tiny
_LEAST_PER_CLUSTER = 8 * PER_BLOCK
_CLUSTERS_PER_ROOT = 3  # of the number of items
_FEW_CLUSTERS = 3000  # whose centers a query scores in no time
_ITERATIONS = 8
_DRAWN_PER_CLUSTER = 32
_ROWS_AT_ONCE = 64 * 1024
_SCORES_AT_ONCE = 1024 * 1024  # which a cache holds


@dataclass(frozen=True, eq=False)
class Clusters:
    """Clusters of items by position; `clusters_t` of kernel.c says what each array is."""

    starts: NDArray[np.int64]  # (n_clusters + 1,)
    centers: FloatMatrix  # (n_clusters, factors)
    radius: FloatVector  # (n_blocks,)
    axes: FloatMatrix  # (n_axes, factors)
    leads: NDArray[np.int32]  # (n_blocks, n_axes / 8, 16)
    limits: FloatMatrix  # (n_blocks, 4)


@dataclass(frozen=True, eq=False)
class Partition:
    """The cluster of every item, by row."""

    vectors: FloatMatrix  # (n_items, factors): items, by cosine with the length of one
    centers: FloatMatrix  # (n_clusters, factors)
    cluster: NDArray[np.int64]  # (n_items,)

    @classmethod
    def of(cls, vectors: FloatMatrix, seed: int) -> "Partition":
        """Find clusters by k-means over some of the items."""
        n = len(vectors)
        wanted = max(round(_CLUSTERS_PER_ROOT * n**0.5), _FEW_CLUSTERS)
        n_clusters = max(1, min(wanted, n // _LEAST_PER_CLUSTER))
        rng = np.random.default_rng(seed)
        drawn = vectors[np.sort(rng.permutation(n)[: _DRAWN_PER_CLUSTER * n_clusters])]
        centers = drawn[np.sort(rng.permutation(len(drawn))[:n_clusters])]
        with threads() as pool:
            for _ in range(_ITERATIONS):
                centers = _means(drawn, _nearest(drawn, centers, pool), centers)
            return cls(vectors, centers, _nearest(vectors, centers, pool))

    def distances(self) -> NDArray[np.float64]:
        """Return how far each item is from its center."""
        parts = chunks(len(self.vectors), most=len(self.vectors))
        lengths = (
            norms_of(self.vectors[part] - self.centers[self.cluster[part]]) for part in parts
        )
        return np.concatenate([*lengths])


def n_axes_of(factors: int) -> int:
    """Return how many numbers of an item are held in 4 bits, those that are not there included."""
    return min(-(-factors // PER_PAIR) * PER_PAIR, _MOST_AXES)


def cluster_items(
    items: FloatMatrix,
    factor: FloatVector | None,  # of each score: 1 / norm where the search is by cosine
    seed: int,
) -> tuple[Codes, Clusters]:
    """Put items in the order of their clusters, and encode them in 8 and in 4 bits.

    A cluster begins at the block nearest to its first item, so a few stand with the cluster next to
    theirs: all bounds are of the center that an item stands with.
    """
    vectors = items if factor is None else items * factor[:, None]
    partition = Partition.of(vectors, seed)
    # The farthest first: blocks of items near their center are passed over with it.
    row = np.lexsort((-partition.distances(), partition.cluster)).astype(np.int32)
    codes = encode_items(items, cosine=factor is not None, row=row)
    sizes = np.bincount(partition.cluster, minlength=len(partition.centers))
    starts = np.rint(np.cumsum([0, *sizes]) / PER_BLOCK).astype(np.int64)
    starts[-1] = len(codes.codes)
    for first, last in zip(starts[:-1].tolist(), starts[1:].tolist(), strict=True):
        # No norm of a later block in the cluster is larger, as the scan expects it.
        norm = codes.bounds[0, first:last]
        norm[:] = np.maximum.accumulate(norm[::-1])[::-1]
    return codes, _with_leads(partition, codes, starts)


def encode_centers(centers: FloatMatrix) -> NDArray[np.int32]:
    """Return centers in 8 bits, by which a query finds those that score highest."""
    with np.errstate(all="ignore"):  # of damaged ones
        return encode_items(centers, row=np.arange(len(centers), dtype=np.int32)).codes


def write_clusters(clusters: Clusters, folder: Path) -> None:
    """Write clusters as files of a folder."""
    for field in fields(Clusters):
        np.save(folder / f"{field.name}.npy", getattr(clusters, field.name))


def open_clusters(folder: Path, n_items: int, factors: int) -> Clusters:
    """Open, memory-mapped, what `write_clusters` wrote for items of this shape."""
    n_blocks = -(-n_items // PER_BLOCK)
    starts = open_array(folder / "starts.npy")
    n = len(starts) - 1 if starts.ndim == 1 else 0
    n_axes = len(open_array(folder / "axes.npy"))
    # An earlier release kept the largest of each cluster.
    n_radii = n if open_array(folder / "radius.npy").shape == (n,) else n_blocks
    if n < 1 or n_axes % PER_PAIR or not PER_PAIR <= n_axes <= _MOST_AXES:
        raise damaged(folder / "starts.npy", f"expected clusters, got {n} of {n_axes} axes")
    clusters = Clusters(
        starts=open_array(folder / "starts.npy", np.int64, (n + 1,)),
        centers=open_array(folder / "centers.npy", np.float32, (n, factors)),
        radius=open_array(folder / "radius.npy", np.float32, (n_radii,)),
        axes=open_array(folder / "axes.npy", np.float32, (n_axes, factors)),
        leads=open_array(folder / "leads.npy", np.int32, (n_blocks, n_axes // PER_PAIR, PER_BLOCK)),
        limits=open_array(folder / "limits.npy", np.float32, (n_blocks, 4)),
    )
    if starts[0] != 0 or starts[-1] != n_blocks or (np.diff(clusters.starts) < 0).any():
        raise damaged(folder / "starts.npy", "expected blocks in ascending order, got others")
    if n_radii == n:
        clusters = replace(clusters, radius=np.repeat(clusters.radius, np.diff(clusters.starts)))
    return clusters


def _nearest(vectors: FloatMatrix, centers: FloatMatrix, pool: Threads) -> NDArray[np.int64]:
    half = np.einsum("ij,ij->i", centers, centers) / 2  # (n_clusters,)
    nearest = np.empty(len(vectors), dtype=np.int64)

    def find(first: int) -> None:
        part = slice(first, first + at_once)
        nearest[part] = (vectors[part] @ centers.T - half).argmax(axis=1)

    at_once = max(1, _SCORES_AT_ONCE // len(centers))
    pool.map(find, range(0, len(vectors), at_once))
    return nearest


def _means(vectors: FloatMatrix, nearest: NDArray[np.int64], centers: FloatMatrix) -> FloatMatrix:
    """Return the mean of each cluster, and the center as it was of an empty one."""
    order = np.argsort(nearest, kind="stable")
    sizes = np.bincount(nearest, minlength=len(centers))
    is_used = sizes > 0
    firsts = (np.cumsum(sizes) - sizes)[is_used]
    means = centers.copy()
    means[is_used] = np.add.reduceat(vectors[order], firsts) / sizes[is_used, None]
    return means


def _with_leads(partition: Partition, codes: Codes, starts: NDArray[np.int64]) -> Clusters:
    """Encode what items add to the center that they stand with."""
    n_blocks, centers = len(codes.codes), partition.centers
    cluster = np.repeat(np.arange(len(centers)), np.diff(starts))  # (n_blocks,)
    n_axes = n_axes_of(centers.shape[1])
    axes = _axes_of(partition, n_axes)
    leads = np.empty((n_blocks, n_axes // PER_PAIR, PER_BLOCK), dtype=np.int32)
    limits = np.empty((n_blocks, 4), dtype=np.float32)
    radius = np.empty(n_blocks, dtype=np.float32)
    reach_of_center = _ROUNDING * norms_of(centers)
    for blocks, residuals in _residuals(partition, codes.row, cluster):
        lengths = norms_of(residuals).reshape(-1, PER_BLOCK).max(axis=1)
        rounding = _ROUNDING * lengths + reach_of_center[cluster[blocks]]
        leads[blocks], found = _encoded(residuals, axes)
        found[:, 1:] += rounding[:, None]
        limits[blocks] = found
        radius[blocks] = lengths + rounding
    up = np.float32(np.inf)  # as they are bounds; the step is none
    limits[:, 1:] = np.nextafter(limits[:, 1:], up)
    return Clusters(starts, centers, np.nextafter(radius, up), axes, leads, limits)


def _axes_of(partition: Partition, n_axes: int) -> FloatMatrix:
    """Return the axes along which items differ most from their centers, zeros after the last."""
    factors = partition.vectors.shape[1]
    squares = np.zeros((factors, factors))
    for first in range(0, len(partition.vectors), _ROWS_AT_ONCE):
        part = slice(first, first + _ROWS_AT_ONCE)
        residuals = partition.vectors[part] - partition.centers[partition.cluster[part]]
        with one_blas_thread():
            squares += residuals.T @ residuals
    axes = np.zeros((n_axes, factors), dtype=np.float32)
    n = min(n_axes, factors)
    with one_blas_thread():
        axes[:n] = np.linalg.eigh(squares)[1].T[::-1][:n]
    return axes


def _residuals(
    partition: Partition, row: NDArray[np.int32], cluster: NDArray[np.intp]
) -> Iterator[tuple[slice, FloatMatrix]]:
    """Yield some blocks, and their items less centers, zeros after the last item."""
    factors = partition.vectors.shape[1]
    for first in range(0, len(cluster), _ROWS_AT_ONCE // PER_BLOCK):
        check_stop()
        blocks = slice(first, min(first + _ROWS_AT_ONCE // PER_BLOCK, len(cluster)))
        rows = row[blocks.start * PER_BLOCK : blocks.stop * PER_BLOCK]
        residuals = np.zeros(((blocks.stop - first) * PER_BLOCK, factors), dtype=np.float32)
        centers = np.repeat(partition.centers[cluster[blocks]], PER_BLOCK, axis=0)
        residuals[: len(rows)] = partition.vectors[rows] - centers[: len(rows)]
        yield blocks, residuals


def _encoded(residuals: FloatMatrix, axes: FloatMatrix) -> tuple[NDArray[np.int32], FloatMatrix]:
    """Return the codes of whole blocks, and the limits of each."""
    n_blocks, n_axes = len(residuals) // PER_BLOCK, len(axes)
    with one_blas_thread():
        along = residuals @ axes.T  # (n, n_axes)
        beside = residuals - along @ axes
    by_block = along.reshape(n_blocks, PER_BLOCK, n_axes)
    step = np.maximum(np.abs(by_block).max(axis=(1, 2)) / np.float32(_MIDDLE), _LEAST_STEP)
    whole = np.clip(np.rint(by_block / step[:, None, None] + _MIDDLE), 0, 15)
    decoded = ((whole - _MIDDLE) * step[:, None, None]).reshape(-1, n_axes)
    lengths = (norms_of(along - decoded), norms_of(beside), norms_of(decoded))
    largest = [length.reshape(n_blocks, PER_BLOCK).max(axis=1) for length in lengths]
    halves = whole.astype(np.uint8).reshape(n_blocks, PER_BLOCK, n_axes // PER_PAIR, 2, 4)
    packed = halves[..., 0, :] | halves[..., 1, :] << 4  # (n_blocks, 16, n_axes / 8, 4)
    codes = np.ascontiguousarray(packed.transpose(0, 2, 1, 3)).view(np.int32)[..., 0]
    return codes, np.column_stack((step, *largest))
