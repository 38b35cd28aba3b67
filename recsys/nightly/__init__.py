"""The night: from the day's logs to a published version, in stages that survive a crash.

A night is one start of `run_night`. A run is what it works on: the folder of the results of its
stages, which the next start goes on with after a crash.

::

    night      `run_night`: does the stages, one night at a time
    refresh    `run_refresh`: the same with another table, between two nights
    extension  what that folds in to a version
    stages     their table: what each does, and what its result depends on
    context    what they share: settings, store, run, results of earlier stages
    outputs    what they leave: facts, and files
    run        the folder of one run: which stages are finished, and their files
    journal    reports it all, as it goes and at the end     (report: the content)
    telemetry  Prometheus and MLflow
    status     the state of a store for a person
"""

from recsys.base.stopping import StoppedError
from recsys.nightly.night import run_night
from recsys.nightly.refresh import run_refresh
from recsys.nightly.report import NightReport, StageReport
from recsys.nightly.status import StoreStatus, status

__all__ = [
    "NightReport",
    "StageReport",
    "StoppedError",
    "StoreStatus",
    "run_night",
    "run_refresh",
    "status",
]
