"""ALS on a CUDA card compared to implicit.gpu on the same card: seconds, and the loss reached.

    python -m benchmarks.gpu                  # 20 M generated interactions; 64, 128, 256 factors
    python -m benchmarks.gpu --pairs 5000000 --factors 64

It needs a card, the extra "cuda", and for the peer implicit 0.7.3 with CUDA's libraries; a peer
that does not start is skipped, with the reason. Both minimize the loss of Hu, Koren and Volinsky
(alpha 10, regularization 1), computed here in float64 for both by one formula, per interaction. A
fit is all that lies between a SciPy matrix and NumPy embeddings; the first one of each, in which
kernels are compiled, is not counted.
"""

import argparse
from functools import partial
from statistics import median
from time import perf_counter

import numpy as np
import scipy.sparse as sp

from benchmarks.als_solvers import ALPHA, REGULARIZATION, Factors, Seconds, Show, loss_of, ours
from benchmarks.worlds import tasteful_matrix
from recsys.base.devices import on_device
from recsys.cuda.device import open_card

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


def keep(last: list[Factors], users: Factors, items: Factors) -> None:
    """Keep the embeddings of the last epoch."""
    last[:] = users, items


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--pairs", type=int, default=20_000_000)
    parser.add_argument("--factors", type=int, nargs="+", default=[64, 128, 256])
    arguments = parser.parse_args()
    print(getattr(open_card(), "name", "a card"))
    world = tasteful_matrix(arguments.pairs)
    print(f"{world.shape[0]:,} users x {world.shape[1]:,} items, {world.nnz:,} interactions")
    print(f"{'':14}{'factors':>8}{'ms/epoch':>10}{'fit s':>8}   loss after {N_EPOCHS} epochs")
    for factors in arguments.factors:
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
