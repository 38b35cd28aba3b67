"""ALS as it is ours and as peers have it, all on the loss of Hu, Koren and Volinsky.

A solver returns the seconds of its epochs, and those of the whole fit, from a matrix to embeddings.
Asked to, it also shows its embeddings after every epoch, in the peers' parametrization; that is a
run of its own, so that looking does not disturb the caches of one that is timed.
"""

import os
from collections.abc import Callable
from time import perf_counter
from typing import NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from recsys.models import ALS
from recsys.models.protocol import Epoch

ALPHA, REGULARIZATION = 10.0, 1.0
Factors = NDArray[np.float32]
Show = Callable[[Factors, Factors], None]  # users, items


class Seconds(NamedTuple):
    """Of each epoch, and of the fit with its set-up and all that follows the epochs."""

    epochs: list[float]
    fit: float


Solver = Callable[[sp.csr_array, int, int, Show | None], Seconds]


def ours(world: sp.csr_array, factors: int, n_epochs: int, show: Show | None) -> Seconds:
    """Run our epochs; scores of the other parametrization are 1 + 1 / alpha times ours."""
    als = ALS.from_alpha(ALPHA, REGULARIZATION, factors=factors, iterations=n_epochs)
    scale = np.float32(np.sqrt(1 + 1 / ALPHA))
    seconds: list[float] = []

    def after(epoch: Epoch) -> None:
        seconds.append(epoch.seconds)
        if show is not None:
            embeddings = epoch.embeddings()
            show(embeddings.users * scale, embeddings.items * scale)

    began = perf_counter()
    als.fit(world, on_epoch=after)
    return Seconds(seconds, perf_counter() - began)


def implicit_cg(world: sp.csr_array, factors: int, n_epochs: int, show: Show | None) -> Seconds:
    """Run epochs of implicit, which takes 3 steps of conjugate gradients."""
    from implicit.cpu.als import AlternatingLeastSquares

    seconds: list[float] = []
    with threadpool_limits(1, user_api="blas"):
        peer = AlternatingLeastSquares(
            factors, REGULARIZATION, iterations=n_epochs, random_state=0, num_threads=0
        )

        def after(_number: int, taken: float, _loss: float | None) -> None:
            seconds.append(taken)
            if show is not None:
                show(peer.user_factors, peer.item_factors)

        confidence = sp.csr_matrix(world * np.float32(ALPHA) + world)
        began = perf_counter()
        peer.fit(confidence, show_progress=False, callback=after)
        return Seconds(seconds, perf_counter() - began)


def irspack_cg(world: sp.csr_array, factors: int, n_epochs: int, show: Show | None) -> Seconds:
    """Run epochs of irspack, in its form of the same loss."""
    from irspack.recommenders.ials import IALSRecommender

    peer = IALSRecommender(
        sp.csr_matrix(world),
        n_components=factors,
        alpha0=1 / ALPHA,
        reg=REGULARIZATION / (ALPHA + 1),
        nu=0.0,
        n_threads=os.cpu_count(),
        loss_type="IALSPP",
    )
    began = perf_counter()
    peer.start_learning()
    assert peer.trainer is not None
    fitted = peer.trainer.core_trainer
    scale = np.float32(np.sqrt(1 + 1 / ALPHA))
    seconds = []
    for _ in range(n_epochs):
        start = perf_counter()
        peer.run_epoch()
        seconds.append(perf_counter() - start)
        if show is not None:
            show(fitted.user * scale, fitted.item * scale)
    return Seconds(seconds, perf_counter() - began)


def spark(world: sp.csr_array, factors: int, n_epochs: int, _show: Show | None) -> Seconds:
    """Return the seconds that each further iteration of Spark MLlib takes, from fits of 1 and 3.

    It solves every row exactly, and its regularization grows with the row, so that its loss is
    another one: only the time of an iteration is compared.
    """
    import pandas as pd
    from pyspark.ml.recommendation import ALS as SparkALS  # noqa: N811
    from pyspark.sql import SparkSession

    cores = os.cpu_count() or 1
    session = (
        SparkSession.builder.master(f"local[{cores}]")
        .config("spark.driver.memory", "12g")
        .config("spark.ui.enabled", "false")
        .config("spark.sql.execution.arrow.pyspark.enabled", "true")
        .getOrCreate()
    )
    session.sparkContext.setLogLevel("ERROR")
    triples = sp.coo_array(world)
    table = pd.DataFrame({"user": triples.row, "item": triples.col, "rating": triples.data})
    log = session.createDataFrame(table).repartition(cores).cache()
    log.count()

    def seconds_of(iterations: int) -> float:
        peer = SparkALS(
            rank=factors, maxIter=iterations, regParam=0.01, alpha=ALPHA, implicitPrefs=True,
            userCol="user", itemCol="item", ratingCol="rating", numUserBlocks=cores,
            numItemBlocks=cores, seed=0,
        )  # fmt: skip
        start = perf_counter()
        peer.fit(log).itemFactors.count()
        return perf_counter() - start

    seconds_of(1)  # the virtual machine compiles as it goes
    of_one = seconds_of(1)
    per_epoch = (seconds_of(3) - of_one) / 2
    session.stop()
    return Seconds([per_epoch] * n_epochs, of_one + (n_epochs - 1) * per_epoch)


def loss_of(world: sp.csr_array, users: Factors, items: Factors) -> float:
    """Return ``sum c (p - x.y)^2 + regularization (|X|^2 + |Y|^2)`` over the interactions."""
    X, Y = users.astype(np.float64), items.astype(np.float64)
    total = ((X.T @ X) * (Y.T @ Y)).sum()  # all pairs as if not observed: weight 1, wanted 0
    for start in range(0, world.shape[0], 4096):
        part = sp.coo_array(world[start : start + 4096])
        scores = np.einsum("ij,ij->i", users[start + part.row], items[part.col], dtype=np.float64)
        total += ((1 + ALPHA) * (1 - scores) ** 2 - scores**2).sum()
    total += REGULARIZATION * ((X**2).sum() + (Y**2).sum())
    return float(total) / float(world.nnz)
