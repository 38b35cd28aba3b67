"""The night: from the day's logs to a published version, in stages that survive a crash.

::

    night         `run_night`: the stages one after the other   (lock, signals, clock: around them)
    stages        their list   (from_log, to_version: what each does, and what it depends on)
    material      what the stages share, read from the outputs of those before
    run           the folder of one run: which stages are finished, and their outputs
    outputs       interactions and embeddings on the disk and back
    fingerprints  when an output may be used again
    journal       JSON lines         (summary: one screen, metrics: Prometheus, tracking: MLflow)
"""

from recsys.nightly.guards import StoppedError
from recsys.nightly.night import run_night
from recsys.nightly.report import NightReport, StageReport

__all__ = ["NightReport", "StageReport", "StoppedError", "run_night"]
