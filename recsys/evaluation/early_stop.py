"""Stop a fit when a validation part no longer improves."""

from dataclasses import dataclass, field

from recsys.evaluation.protocol import evaluate
from recsys.logs import Interactions
from recsys.logs.leaks import require_validation
from recsys.models.epochs import Epoch
from recsys.vectors import Embeddings


@dataclass
class EarlyStop:
    """Watches the epochs of a fit; pass it as ``on_epoch``.

    Parameters
    ----------
    train, validation : Interactions
        A split of the train part; the fit is on the first of the two.
    metric : str
        What must improve, at `k`.
    k : int
    patience : int
        Epochs in a row without improvement that are waited for, at least 1.

    Raises
    ------
    DataError
        If what must improve is on a test part.

    Attributes
    ----------
    history : list of float
        The metric after each epoch.
    best : Embeddings or None
        Those of the best epoch.

    Examples
    --------
    ::

        watch = EarlyStop(*recsys.split_by_time(train))
        recsys.ALS(iterations=50).fit(watch.train.user_items(), on_epoch=watch)
        n_epochs = watch.best_epoch
    """

    train: Interactions
    validation: Interactions
    metric: str = "ndcg"
    k: int = 20
    patience: int = 2
    history: list[float] = field(default_factory=list)
    best: Embeddings | None = None

    def __post_init__(self) -> None:
        require_validation(self.validation, "early stop")

    def __call__(self, epoch: Epoch) -> bool:
        """Evaluate an epoch; return whether the fit should stop."""
        embeddings = epoch.embeddings()
        result = evaluate(embeddings, self.train, self.validation, self.k)
        value = result.metrics[f"{self.metric}@{self.k}"]
        if not self.history or value > max(self.history):
            self.best = embeddings
        self.history.append(value)
        return len(self.history) - self.best_epoch >= self.patience

    @property
    def best_epoch(self) -> int:
        """The number of the best epoch so far, from 1."""
        return self.history.index(max(self.history)) + 1
