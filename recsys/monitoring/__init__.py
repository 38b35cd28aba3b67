"""Watching: drift between versions, and gates that can refuse a publish."""

from recsys.monitoring.drift import DriftReport, drift
from recsys.monitoring.gates import Gates
from recsys.monitoring.measures import DEFAULT_LIMITS, learned_limits, lineage
from recsys.monitoring.settings import GateSettings

__all__ = [
    "DEFAULT_LIMITS",
    "DriftReport",
    "GateSettings",
    "Gates",
    "drift",
    "learned_limits",
    "lineage",
]
