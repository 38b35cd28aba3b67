"""The epochs of a fit, as those who wait for it see them."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from math import isnan, nan
from time import perf_counter

from recsys.base.progress import growing_trend, progress_bar
from recsys.vectors import Embeddings


@dataclass(frozen=True)
class Epoch:
    """What a fit reports after each epoch; a model that is fitted in one step reports one.

    Parameters
    ----------
    number, n_epochs : int
        Epochs done, and in all.
    loss : float
        What the fit minimizes, at the embeddings as they are; NaN where it takes one step.
    seconds : float
        Time of the epoch.
    embeddings : callable
        Returns the embeddings as they are; later epochs do not change what it returned.
    """

    number: int
    n_epochs: int
    loss: float
    seconds: float
    embeddings: Callable[[], Embeddings]


OnEpoch = Callable[[Epoch], bool | None]
"""Called after each epoch; True stops the fit there."""


@contextmanager
def epoch_bar(description: str, *, enabled: bool = True) -> Iterator[OnEpoch]:
    """Show a `progress_bar` that moves with the epochs of a fit; yields its `on_epoch`."""
    drawn = growing_trend()
    with progress_bar(description, enabled=enabled) as on_step:

        def on_epoch(epoch: Epoch) -> None:
            note = "" if isnan(epoch.loss) else f"loss {epoch.loss:.6g}{drawn(epoch.loss)}"
            on_step(epoch.number, epoch.n_epochs, note)

        yield on_epoch


def fit_in_one_step(solve: Callable[[], Embeddings], on_epoch: OnEpoch | None) -> Embeddings:
    """Solve, and report the solution as the only epoch."""
    began = perf_counter()
    embeddings = solve()
    if on_epoch is not None:
        on_epoch(Epoch(1, 1, nan, perf_counter() - began, lambda: embeddings))
    return embeddings
