"""Monitoring: measures of drift between versions, and gates that can refuse a version."""

from recsys.monitoring.another_log import warn_of_another_log
from recsys.monitoring.drift import (
    DEFAULT_LIMITS,
    DriftReport,
    ancestors,
    drift,
    drift_between,
    learned_limits,
)
from recsys.monitoring.gates import Gates
from recsys.monitoring.measures import MEASURES
from recsys.settings import GateSettings

__all__ = [
    "DEFAULT_LIMITS",
    "MEASURES",
    "DriftReport",
    "GateSettings",
    "Gates",
    "ancestors",
    "drift",
    "drift_between",
    "learned_limits",
    "warn_of_another_log",
]
