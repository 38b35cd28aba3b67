"""One trial of a search: fit, measure on the validation part now and then."""

from collections.abc import Callable
from dataclasses import dataclass, field
from hashlib import blake2b

import numpy as np
import scipy.sparse as sp

from recsys.base.checks import require, require_whole
from recsys.base.lazy import lazy_property
from recsys.base.stopping import check_stop
from recsys.evaluation.evaluate import evaluate
from recsys.evaluation.held_out import drawn
from recsys.evaluation.metrics import METRICS
from recsys.logs import Interactions, require_interactions
from recsys.models import Epoch
from recsys.splits.leaks import require_validation
from recsys.tuning.candidates import Candidate
from recsys.vectors import Scorer

MOST_USERS = 20_000


@dataclass(frozen=True, eq=False)
class Task:
    """What a search optimizes: a metric on a validation part.

    A ConfigError if there is no such metric, a DataError if the validation part is a test part.
    """

    train: Interactions  # what trials are fitted to: a part of the train part
    validation: Interactions  # the other part
    metric: str = "ndcg"  # one of `recsys.evaluation.METRICS`, at k
    k: int = 20
    seed: int = 0  # of the choice of users, where more than `most_users` have validation items
    most_users: int = MOST_USERS  # that are measured: the same in all trials

    def __post_init__(self) -> None:
        require_interactions("tune", self.train, self.validation)
        require("tune.metric", self.metric, one_of=METRICS)
        require_whole("tune: k", self.k, least=1)
        require_whole("tune.seed", self.seed, least=0)
        require_validation(self.validation, "tune")

    @lazy_property
    def user_items(self) -> sp.csr_array:
        """The matrix of what trials are fitted to, without dislikes."""
        return self.train.user_items()

    @lazy_property
    def seen(self) -> sp.csr_array:
        """What no list holds: dislikes as well."""
        return (
            self.user_items if self.train.dislikes is None else self.train.user_items(signed=True)
        )

    @property
    def n_users(self) -> int:
        """How many users are measured."""
        return int(np.count_nonzero(np.diff(self.relevant.indptr)))

    @lazy_property
    def relevant(self) -> sp.csr_array:
        """The validation items of the users that are measured."""
        return drawn(self.validation.user_items(), self.most_users, self.seed)[0]

    def measure(self, scorer: Scorer) -> float:
        """Return the metric on the validation part."""
        found = evaluate(scorer, self.seen, self.relevant, self.k, auc=False)
        return found.metrics[f"{self.metric}@{self.k}"]

    @lazy_property
    def fingerprint(self) -> str:
        """A hash of all that two searches share if their trials can be compared."""
        hashed = blake2b(f"{self.metric}@{self.k}, {self.seed}".encode(), digest_size=16)
        for matrix in (self.seen, self.relevant):
            for array in (matrix.indptr, matrix.indices, matrix.data):
                hashed.update(array.tobytes())
        return hashed.hexdigest()


@dataclass
class Watch:
    """Measures a fit after epochs 2, 4, 8 and so on; pass it as `on_epoch`.

    Measuring every epoch would take longer than the epochs do.
    """

    task: Task
    report: Callable[[int, float], bool]
    """Takes an epoch and what it reached; True stops the fit there."""
    reached: dict[int, float] = field(default_factory=dict)
    is_stopped: bool = False

    def __call__(self, epoch: Epoch) -> bool:
        """Measure after epochs 2, 4, 8, ...; the last is measured from the returned embeddings."""
        check_stop()
        number = epoch.number
        is_power_of_two = number.bit_count() == 1
        if number < 2 or not is_power_of_two or number == epoch.n_epochs:
            return False
        self.is_stopped = self.look(number, epoch.embeddings())
        return self.is_stopped

    def look(self, number: int, scorer: Scorer) -> bool:
        """Measure the embeddings of an epoch, and report what they reach."""
        self.reached[number] = self.task.measure(scorer)
        return self.report(number, self.reached[number])

    @property
    def best(self) -> int:
        """The epoch that reached most, the first of equals."""
        return max(self.reached, key=lambda number: (self.reached[number], -number))


def run_trial(candidate: Candidate, task: Task, report: Callable[[int, float], bool]) -> Watch:
    """Fit a candidate and watch its epochs; without any, what it returns counts as one."""
    watch = Watch(task, report)
    n_epochs = candidate.iterations
    fitted = candidate.fit(task.train, on_epoch=None if n_epochs is None else watch)
    if not watch.is_stopped:
        watch.look(n_epochs or 1, fitted)
    return watch
