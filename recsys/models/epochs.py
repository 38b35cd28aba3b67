"""What a fit that takes epochs tells of each."""

from collections.abc import Callable
from dataclasses import dataclass

from recsys.vectors import Embeddings


@dataclass(frozen=True)
class Epoch:
    """What a fit tells after each epoch.

    Parameters
    ----------
    number, n_epochs : int
        Epochs done, and in all.
    loss : float
        What the fit minimizes, for the embeddings as they are.
    seconds : float
        That the epoch took.
    embeddings : callable
        Makes a copy of them.
    """

    number: int
    n_epochs: int
    loss: float
    seconds: float
    embeddings: Callable[[], Embeddings]


OnEpoch = Callable[[Epoch], bool | None]
"""Called after each epoch; True stops the fit there."""
