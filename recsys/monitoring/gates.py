"""Gates: checks that can refuse a version before it becomes current."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any

from recsys.monitoring.drift import drift
from recsys.monitoring.lists import NAMES as OF_LISTS
from recsys.monitoring.log import LOG_AGE, MOST_DAYS_OLDER, measure_age
from recsys.monitoring.log import NAMES as OF_LOG
from recsys.monitoring.measures import held_to, learned_limits, lineage
from recsys.monitoring.population import NAMES as OF_POPULATION
from recsys.monitoring.settings import AS_GOOD, BETTER, COVERAGE, GateSettings
from recsys.monitoring.vectors import NAMES as OF_MOVEMENT
from recsys.monitoring.vectors import SHAPE_NAMES as OF_SHAPE
from recsys.store import Check, Content, Manifest

_CHANGE_EVERY_NIGHT = ("since", "until")


@dataclass(frozen=True)
class Gates:
    """Judges a version before it is published; what `recsys.store.publish` takes as its judge.

    Parameters
    ----------
    settings : GateSettings
    """

    settings: GateSettings = field(default_factory=GateSettings)

    def __call__(self, staged: Content, current: Content | None) -> list[Check]:
        """Return every check of a new version; those that refuse it say so.

        The age of the log is told and refuses nothing: the same log once more does no harm.

        Parameters
        ----------
        staged : Content
            The new version.
        current : Content or None
            The one that is served now, if there is one.
        """
        manifest = staged.version.manifest
        checks = self._of_metrics(manifest, None if current is None else current.version.manifest)
        if current is None:
            return checks
        past = lineage(current.version, self.settings.history)
        report = drift(
            current,
            staged,
            learned_limits(past) | dict(self.settings.limits),
            k=self.settings.k,
            n_users=self.settings.users,
            n_items=self.settings.items,
        )
        limits = {LOG_AGE: MOST_DAYS_OLDER, **self.settings.limits}
        age = held_to(measure_age(manifest, past), limits)  # told, and refuses nothing
        return [
            *checks,
            *self._of_drift(report.checks, manifest, current.version.manifest),
            age,
        ]

    def _of_metrics(self, new: Manifest, current: Manifest | None) -> list[Check]:
        """Compare the metrics of a version to those of popularity and of the current one."""
        own, popular = new.metrics.get(new.model["name"]), new.metrics.get("popularity")
        if own is None:
            return []
        metric = f"{self.settings.metric}@{own['k']}"
        checks = [_coverage(own, self.settings.min_coverage)]
        if popular is not None and new.model["name"] != "popularity":
            checks.append(_not_below(BETTER, metric, own, popular, 0.0, "popularity"))
        before = None if current is None else _metrics_to_reach(new, current)
        if before is not None:
            loss = self.settings.max_metric_loss
            checks.append(_not_below(AS_GOOD, metric, own, before, loss, "the current version"))
        off = self.settings.off
        return [
            replace(check, refuses=not check.passed and check.name not in off) for check in checks
        ]

    def _of_drift(self, checks: tuple[Check, ...], new: Manifest, current: Manifest) -> list[Check]:
        """Say which measures refuse: those far above their limit that no new setting explains."""
        explained, judged = _explained(new, current), []
        for check in checks:
            if check.passed or check.value is None or check.threshold is None:
                judged.append(check)
            elif check.name in explained:
                sentence = f"{check.sentence} ({explained[check.name]})"
                judged.append(replace(check, sentence=sentence))
            else:
                is_far = check.value > self.settings.refuse_above * check.threshold
                judged.append(
                    replace(check, refuses=is_far and check.name not in self.settings.off)
                )
        return judged


def _coverage(own: Mapping[str, Any], least: float) -> Check:
    name = f"coverage@{own['k']}"
    value = own["metrics"].get(name)
    passed = value is None or value >= least
    shown = "not measured" if value is None else f"{value:.4f}"
    return Check(COVERAGE, value, least, passed, f"{COVERAGE}: {name} {shown}, at least {least:g}")


def _not_below(
    name: str,
    metric: str,
    own: Mapping[str, Any],
    other: Mapping[str, Any],
    loss: float,
    whose: str,
) -> Check:
    """Compare the upper end of an interval to the lower end of another, less a share."""
    if metric not in own["intervals"] or metric not in other["intervals"]:
        sentence = f"{name}: not measured: no interval of {metric}"
        return Check(name, None, None, passed=True, sentence=sentence)
    high, low = own["intervals"][metric][1], (1 - loss) * other["intervals"][metric][0]
    passed = high >= low
    sentence = (
        f"{name}: {metric} {_interval(own, metric)}, {whose} {_interval(other, metric)}; its upper "
        f"end should reach {low:.4f}"
    )
    return Check(name, high, low, passed, sentence)


def _metrics_to_reach(new: Manifest, current: Manifest) -> Mapping[str, Any] | None:
    """Return the metrics of the current version, if it was tested as the new one was."""
    if new.config.get("evaluation") != current.config.get("evaluation"):
        return None
    found: Mapping[str, Any] | None = current.metrics.get(current.model["name"])
    return found


def _explained(new: Manifest, current: Manifest) -> dict[str, str]:
    """Return the measures that a change of settings moves, and which settings they are."""
    of_vectors = (*OF_MOVEMENT, *OF_SHAPE, *OF_LISTS)
    explained = {}
    if _log_settings(new) != _log_settings(current):
        names = (*OF_LOG, *OF_POPULATION, *of_vectors)
        explained = dict.fromkeys(names, "the settings of the log changed")
    if new.model != current.model:
        explained |= dict.fromkeys(of_vectors, "the model changed")
    return explained


def _log_settings(manifest: Manifest) -> dict[str, Any]:
    settings = manifest.config.get("log", {})
    return {name: value for name, value in settings.items() if name not in _CHANGE_EVERY_NIGHT}


def _interval(result: Mapping[str, Any], metric: str) -> str:
    low, high = result["intervals"][metric]
    return f"{result['metrics'][metric]:.4f} ({low:.4f} - {high:.4f})"
