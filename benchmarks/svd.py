"""Truncated SVD compared to its peers: seconds, and how much of the energy is captured.

    python -m benchmarks.svd                       # Gowalla, and 5 M generated interactions
    python -m benchmarks.svd --only gowalla --factors 64 256
    python -m benchmarks.svd --products            # one sparse product: SciPy's and ours

All factorize the same float32 matrix, normalized as `SVD` does it by default. Energy is
``|A V|^2`` in float64; its error is relative to the most that any of them captured, which is the
truth up to what the best of them missed. A peer's seconds are compared with those of our cheapest
setting whose error is no larger. recall@20 on Gowalla's fixed split is that of the embeddings made
of these values and vectors. scikit-learn comes with the extra "bench" and is skipped where absent.
"""

import argparse
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import partial
from importlib.util import find_spec
from time import perf_counter

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from scipy.sparse.linalg import svds

from benchmarks.splits import SPLITS, Parts
from benchmarks.worlds import tasteful_matrix
from recsys.base.threads import threads
from recsys.evaluation import evaluate
from recsys.models import SVD
from recsys.models.protocol import checked, popularity_of, power_of_counts
from recsys.models.spectral.truncated import multiplier, truncated_svd
from recsys.vectors import Embeddings

FACTORS = (64, 256, 512)
OVERSAMPLING = (0.5, 1.0, 2.0, 4.0)
OVERSAMPLING_OF_FEW = (8.0, 16.0)  # where a large basis costs little
FEW = 64  # factors
POWER_ITERATIONS = (2, 4, 8, 16)
ARPACK_TOLERANCE = 0.1  # a quarter less time than with 0, and seven digits of the energy as well
Found = tuple[NDArray[np.float64], NDArray[np.floating]]  # values (k,), V (n_items, k)


@dataclass
class Row:
    """One method with one setting, and what it reached."""

    name: str
    seconds: float
    energy: float
    recall: float | None

    @property
    def is_ours(self) -> bool:
        """Whether it is a setting of our own."""
        return self.name.startswith("ours")


def methods(A: sp.csr_array, k: int) -> Iterator[tuple[str, Callable[[], Found]]]:
    """Yield every method with every setting, by name."""
    for oversampling in OVERSAMPLING + (OVERSAMPLING_OF_FEW if k <= FEW else ()):
        yield (
            f"ours, oversampling {oversampling:g}",
            partial(truncated_svd, A, k, oversampling=oversampling),
        )
    yield "svds arpack", partial(scipy_svd, A, k, "arpack", ARPACK_TOLERANCE)
    if k <= FEW:  # beyond, it takes minutes
        yield "svds propack", partial(scipy_svd, A, k, "propack", 0.0)
    if find_spec("sklearn") is None:
        print("scikit-learn is not installed: randomized_svd is skipped")
        return
    for n_iter in POWER_ITERATIONS:
        yield f"randomized_svd, n_iter {n_iter}", partial(sklearn_svd, A, k, n_iter)


def scipy_svd(A: sp.csr_array, k: int, solver: str, tolerance: float) -> Found:
    """Return what scipy.sparse.linalg.svds finds."""
    rng = np.random.default_rng(0)
    _, values, rows = svds(A, k=k, tol=tolerance, solver=solver, rng=rng)
    order = np.argsort(-values)
    return values[order].astype(np.float64), rows[order].T


def sklearn_svd(A: sp.csr_array, k: int, n_iter: int) -> Found:
    """Return what scikit-learn's randomized_svd, and its TruncatedSVD by default, finds."""
    from sklearn.utils.extmath import randomized_svd

    _, values, rows = randomized_svd(A, k, n_iter=n_iter, random_state=0)
    return values.astype(np.float64), rows.T


def measured(A: sp.csr_array, k: int, parts: Parts | None) -> list[Row]:
    """Run every method once."""
    rows = []
    for name, run in methods(A, k):
        start = perf_counter()
        values, V = run()
        seconds = perf_counter() - start
        projected = A.astype(np.float64) @ V.astype(np.float64)
        recall = None if parts is None else recall_of(values, V, parts)
        rows.append(Row(name, seconds, float((projected**2).sum()), recall))
        print(f"{name}: {seconds:.2f} s", file=sys.stderr, flush=True)
    return rows


def recall_of(values: NDArray[np.float64], V: NDArray[np.floating], parts: Parts) -> float:
    """Return recall@20 of the embeddings that `SVD` makes of these values and vectors."""
    model = SVD(factors=len(values))
    user_items = parts.train.user_items()
    popularity = popularity_of(user_items)
    scale = power_of_counts(popularity, model.item_exponent)[:, None]
    items = (scale * V * values ** (model.spectral_power / 2)).astype(np.float32)
    embeddings = Embeddings(model.fold_in(items, popularity)(user_items), items)
    return evaluate(embeddings, parts.train, parts.test, k=20).metrics["recall@20"]


def compare(name: str, user_items: sp.csr_array, factors: list[int], parts: Parts | None) -> None:
    """Print one table for each number of factors."""
    matrix = checked(user_items)
    A = SVD().normalized(matrix, popularity_of(matrix))
    for k in factors:
        print(f"\n{name}: {A.shape[0]:,} x {A.shape[1]:,}, {A.nnz:,} entries, {k} factors\n")
        print("| method | seconds | energy missed | recall@20 | ours at no larger error |")
        print("|---|---:|---:|---:|---|")
        rows = measured(A, k, parts)
        most = max(row.energy for row in rows)
        for row in rows:
            recall = "" if row.recall is None else f"{row.recall:.4f}"
            print(
                f"| {row.name} | {row.seconds:.2f} | {1 - row.energy / most:.1e} | {recall} | "
                f"{'' if row.is_ours else ratio(row, rows)} |",
                flush=True,
            )


def ratio(peer: Row, rows: list[Row]) -> str:
    """Write how many times as long as ours a peer took, for no better a result."""
    # Energies of float32 vectors are equal where their first six digits are.
    at_least = [row for row in rows if row.is_ours and row.energy >= peer.energy * (1 - 1e-6)]
    if not at_least:
        return "none"
    best = min(at_least, key=lambda row: row.seconds)
    return f"{best.seconds:.2f} s, {peer.seconds / best.seconds:.1f}x"


def products(name: str, A: sp.csr_array) -> None:
    """Print the time of one sparse product, SciPy's and ours."""
    print(f"\n{name}: a sparse product with a dense block, milliseconds, best of five\n")
    print("| columns | SciPy | ours, 1 thread | ours, all | ratio |")
    print("|---:|---:|---:|---:|---:|")
    for width in (16, 32, 64, 256):
        block = np.random.default_rng(0).standard_normal((A.shape[1], width), dtype=np.float32)
        times = [best_of_five(lambda: A @ block)]  # noqa: B023  called at once
        for n in (1, None):
            with threads(n) as pool:
                times.append(best_of_five(partial(multiplier(A, pool), block)))
        print("|".join(["", f" {width} ", *(f" {1000 * t:.1f} " for t in times)]), end="")
        print(f"| {times[0] / times[-1]:.1f}x |")


def best_of_five(work: Callable[[], object]) -> float:
    """Return the least seconds of five runs after a first."""
    work()
    seconds = []
    for _ in range(5):
        start = perf_counter()
        work()
        seconds.append(perf_counter() - start)
    return min(seconds)


def main() -> None:
    """Compare what the command line asks for."""
    parser = argparse.ArgumentParser(description="Truncated SVD compared to its peers.")
    parser.add_argument("--factors", type=int, nargs="+", default=FACTORS)
    parser.add_argument("--only", choices=("gowalla", "generated"))
    parser.add_argument("--products", action="store_true")
    arguments = parser.parse_args()
    truncated_svd(tasteful_matrix(20_000), 4)  # compiles, or loads what was compiled
    for name in ("gowalla", "generated"):
        if arguments.only not in (None, name):
            continue
        parts = SPLITS[name]() if name == "gowalla" else None
        world = tasteful_matrix(5_000_000) if parts is None else parts.train.user_items()
        if arguments.products:
            products(name, world)
        else:
            compare(name, world, arguments.factors, parts)


if __name__ == "__main__":
    main()
