"""ALS and exact lists on a CUDA card compared to implicit.gpu on the same card.

    python -m benchmarks.gpu                  # 20 M generated interactions; 64, 128, 256 factors
    python -m benchmarks.gpu --pairs 5000000 --factors 64
    python -m benchmarks.gpu --only lists     # lists of 20 and 100 among 60 k and a million items

It needs a card, the extra "cuda", and for the peer implicit 0.7.3 with CUDA's libraries; a peer
that does not start is skipped, with the reason. Both minimize the loss of Hu, Koren and Volinsky
(alpha 10, regularization 1), computed here in float64 for both by one formula, per interaction. A
fit is all that lies between a SciPy matrix and NumPy embeddings; the first one of each, in which
kernels are compiled, is not counted.

Lists leave out what users have seen. "on the card" is ours with vectors and seen items there
before and lists left there, "arrays" ours from NumPy to NumPy, as implicit's.
"""

import argparse
from collections.abc import Callable
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import scipy.sparse as sp

from benchmarks.als_solvers import ALPHA, REGULARIZATION, Factors, Seconds, Show, loss_of, ours
from benchmarks.worlds import tasteful_matrix
from recsys.base.devices import on_device
from recsys.cuda.backend import Backend
from recsys.cuda.device import open_card
from recsys.cuda.lists import Asked, CardSearcher, Exclusions
from recsys.vectors import FloatMatrix

N_EPOCHS = 15


def ours_on_card(
    world: sp.csr_array, factors: int, n_epochs: int, show: Show | None = None
) -> Seconds:
    """Run our epochs on the card."""
    with on_device("cuda"):
        return ours(world, factors, n_epochs, show)


def implicit_gpu(
    world: sp.csr_array, factors: int, n_epochs: int, show: Show | None = None
) -> Seconds:
    """Run epochs of implicit.gpu, which takes 3 steps of conjugate gradients."""
    from implicit.gpu.als import AlternatingLeastSquares

    seconds: list[float] = []
    weights = sp.csr_matrix((world.data * (1 + ALPHA), world.indices, world.indptr), world.shape)
    peer = AlternatingLeastSquares(factors, REGULARIZATION, iterations=n_epochs, random_state=0)
    began = perf_counter()
    peer.fit(
        weights, show_progress=False, callback=lambda _number, time, _loss: seconds.append(time)
    )
    found = Seconds(seconds, perf_counter() - began)
    if show is not None:
        show(*(one.to_numpy().astype(np.float32) for one in (peer.user_factors, peer.item_factors)))
    return found


def like_a_model(
    n_rows: int, factors: int, rng: np.random.Generator, centers: FloatMatrix
) -> FloatMatrix:
    """Return vectors around some centers, of lengths and a spectrum as trained ones have."""
    spectrum = np.arange(1, factors + 1) ** -0.35
    near = centers[rng.integers(0, len(centers), n_rows)]
    vectors = (0.7 * rng.standard_normal((n_rows, factors), dtype=np.float32) + near) * spectrum
    vectors *= np.exp(0.5 * rng.standard_normal((n_rows, 1)))
    vectors /= np.linalg.norm(vectors, axis=1).mean()
    return vectors.astype(np.float32)


def users_per_second(n_users: int, work: Callable[[], object]) -> float:
    """Return how many users a second some work lists, the median of five runs after one."""
    work()
    times = []
    for _ in range(5):
        began = perf_counter()
        work()
        times.append(perf_counter() - began)
    return n_users / median(times)


def implicit_lists(
    users: FloatMatrix, items: FloatMatrix, seen: sp.csr_array, k: int
) -> Callable[[], object]:
    """Return the recommendation of implicit.gpu for all users, without what they have seen."""
    from implicit.gpu import Matrix
    from implicit.gpu.als import AlternatingLeastSquares

    peer, among = AlternatingLeastSquares(users.shape[1]), sp.csr_matrix(seen)
    peer.user_factors, peer.item_factors = Matrix(users), Matrix(items)
    ids, size = np.arange(len(users)), 4096

    def work() -> None:
        for start in range(0, len(ids), size):
            own = ids[start : start + size]
            peer.recommend(own, among[own], N=k)

    return work


def listed(card: Backend, searcher: CardSearcher, asked: Asked, k: int) -> None:
    """Make the lists of a block, and wait for them."""
    _, _, counts = searcher.listed(asked, k)
    card.to_host(counts[:1])


def show_lists(card: Backend, n_users: int, n_items: int, per_user: int, factors: int) -> None:
    """Print users a second, for lists of 20 and of 100."""
    rng = np.random.default_rng(0)
    seen = tasteful_matrix(n_users * per_user, n_users=n_users, n_items=n_items)
    centers = rng.standard_normal((2000, factors), dtype=np.float32)
    users, items = (like_a_model(n, factors, rng, centers) for n in seen.shape)
    searcher = CardSearcher(card, items)
    excluded = Exclusions(seen.indptr.astype(np.int64), seen.indices)
    some = min(searcher.users_per_block, len(users))
    asked = searcher.bring(users[:some], excluded.of(0, some))
    for k in (20, 100):
        rates = [
            users_per_second(some, partial(listed, card, searcher, asked, k)),
            users_per_second(n_users, partial(searcher.search_many, users, k, *excluded)),
        ]
        try:
            rates.append(users_per_second(n_users, implicit_lists(users, items, seen, k)))
        except (ImportError, ValueError, RuntimeError) as error:
            print(f"implicit.gpu skipped: {error}")
        found = "".join(f"{rate:14,.0f}" for rate in rates)
        print(f"{n_items:10,}{factors:8}{k:5}{found}", flush=True)


def keep(last: list[Factors], users: Factors, items: Factors) -> None:
    """Keep the embeddings of the last epoch."""
    last[:] = users, items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20_000_000)
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128, 256])
    parser.add_argument("--only", choices=("fits", "lists"))
    arguments = parser.parse_args()
    card = open_card()
    print(getattr(card, "name", "a card"))
    if arguments.only != "lists":
        show_fits(arguments.pairs, arguments.factors)
    if arguments.only != "fits":
        print(
            f"{'items':>10}{'factors':>8}{'k':>5}{'on the card':>14}{'arrays':>14}{'implicit':>14}"
        )
        for factors in arguments.factors:
            show_lists(card, 131_072, 60_000, 143, factors)
            show_lists(card, 16_384, 1_000_000, 100, factors)


def show_fits(n_pairs: int, all_factors: list[int]) -> None:
    """Print milliseconds of an epoch, seconds of a fit, and the loss that it reaches."""
    world = tasteful_matrix(n_pairs)
    print(f"{world.shape[0]:,} users x {world.shape[1]:,} items, {world.nnz:,} interactions")
    print(f"{'':14}{'factors':>8}{'ms/epoch':>10}{'fit s':>8}   loss after {N_EPOCHS} epochs")
    for factors in all_factors:
        for name, solver in (("recsys", ours_on_card), ("implicit.gpu", implicit_gpu)):
            last: list[Factors] = []
            try:
                solver(world, factors, N_EPOCHS, partial(keep, last))
                runs = [solver(world, factors, N_EPOCHS) for _ in range(3)]
            except (ImportError, ValueError, RuntimeError) as error:
                print(f"{name:14}{factors:8}  skipped: {error}")
                continue
            epoch = median(time for run in runs for time in run.epochs[4:]) * 1e3
            fit = median(run.fit for run in runs)
            print(
                f"{name:14}{factors:8}{epoch:10.2f}{fit:8.2f}   {loss_of(world, *last):.5f}",
                flush=True,
            )


if __name__ == "__main__":
    main()
