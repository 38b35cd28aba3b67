"""Whether the log still comes in: a feed that stops makes versions that look like those before."""

from collections.abc import Sequence
from datetime import UTC, datetime

from recsys.logs.interactions import SECONDS_PER_DAY
from recsys.monitoring.measured import Measured, not_measured
from recsys.store import Manifest

LOG_AGE = "log_age"
MOST_DAYS_OLDER = 2.5
"""The shipped limit: a weekend without events is none of its business. It is not learned, as what
stays away would become the usual."""


def measure_age(new: Manifest, past: Sequence[Manifest]) -> Measured:
    """Measure how many days older the newest event is than it was for the freshest of the past.

    Each version is compared as it was when it was made, so that a log that always ends in the
    same distance, or a public one that ended years ago, has age 0.

    Parameters
    ----------
    new : Manifest
    past : sequence of Manifest
        Of the current version and those before it.
    """
    age, ages = _age(new), [age for age in map(_age, past) if age is not None]
    if age is None or not ages:
        return not_measured([LOG_AGE], "no time in a log")[0]
    newest = datetime.fromtimestamp(new.data["window"][1], UTC)
    said = (
        f"days by which the log has aged: its newest event is of {newest:%Y-%m-%d %H:%M} UTC, "
        f"{age:.1f} days old; it was {min(ages):.1f} days old for the freshest version before"
    )
    return Measured(LOG_AGE, max(age - min(ages), 0.0), said)


def _age(manifest: Manifest) -> float | None:
    """Return how many days old the newest event was when a version was made."""
    window = manifest.data.get("window")
    if window is None:
        return None
    made = datetime.fromisoformat(manifest.created).timestamp()
    return float(made - window[1]) / SECONDS_PER_DAY
