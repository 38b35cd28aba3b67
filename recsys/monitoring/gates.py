"""Gates: checks that can refuse a version before it becomes current."""

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.evaluation.new_items import on_catalogue
from recsys.monitoring.drift import ancestors, drift, drift_of_manifests, learned_limits
from recsys.monitoring.feed import feed_checks
from recsys.monitoring.log import Log
from recsys.monitoring.measures import MEASURES, not_measured
from recsys.monitoring.vectors import TOO_FEW
from recsys.settings import (
    AS_GOOD,
    BETTER,
    CHANCE,
    COVERAGE,
    NEW_AS_GOOD,
    VECTORS,
    GateSettings,
    LogSettings,
)
from recsys.store import Check, Content, Damaged, EvaluationSummary, Manifest
from recsys.vectors.vector import norms_of

_CHANGE_NO_ROW = ("since", "until", "max_rejected_share", "memory_limit", "max_memory")
_SCALED_DOWN = 3.0  # times that the mean weight fell: more than a night changes it
_LEAST_WITH_VECTORS = 0.5  # of the users
_NEARLY_ZERO = 1e-6  # of the longest user
_MOST_NORMS = 1 << 17  # of a sample of users
_MOST_ITEMS = 100  # of a user, seen and unseen


@dataclass(frozen=True)
class Gates:
    """Checks a version before it is published: a `recsys.store.Gate` for `recsys.store.publish`."""

    settings: GateSettings = field(default_factory=GateSettings)

    def __call__(self, staged: Content, current: Content | Damaged | None) -> list[Check]:
        """Return every check of a new version, with those that refuse it marked.

        Of a damaged version the manifest alone is compared; where that answers nothing, the new
        version is refused. The age of the log is reported and refuses nothing: the same log once
        more does no harm.
        """
        manifest = staged.version.manifest
        checks = self._refusing(
            [
                *self._of_metrics(manifest, None if current is None else current.version.manifest),
                _with_vectors(staged),
                _above_chance(staged, self.settings.users),
            ]
        )
        if current is None:
            return checks
        nights = ancestors(current.version, self.settings.history)
        moved = self._of_drift(
            self._compared(staged, current, nights), manifest, current.version.manifest
        )
        compared = [*moved, *(check for check in checks if check.name == AS_GOOD)]
        if isinstance(current, Damaged) and all(check.value is None for check in compared):
            moved.append(_nothing_compared(current))
        checks += moved
        return [
            *checks,
            *feed_checks(self.settings.limits, Log.of(manifest), list(map(Log.of, nights))),
        ]

    def _compared(
        self, staged: Content, current: Content | Damaged, nights: Sequence[Manifest]
    ) -> Sequence[Check]:
        """Return the measures of drift from the current version."""
        limits = learned_limits(nights) | dict(self.settings.limits)
        if isinstance(current, Damaged):
            reason = f"version {current.version} is damaged: {current.reason}"
            before, new = current.version.manifest, staged.version.manifest
            return drift_of_manifests(before, new, limits, reason)
        settings = self.settings
        sizes = {"k": settings.k, "n_users": settings.users, "n_items": settings.items}
        return drift(current, staged, limits, **sizes).checks

    def _of_metrics(self, new: Manifest, current: Manifest | None) -> list[Check]:
        """Compare the metrics of a version to those of popularity and of the current one."""
        own, popular = new.evaluation, new.metrics.get("popularity")
        if own is None:
            return []
        metric = f"{self.settings.metric}@{own.k}"
        checks = [_coverage(own, self.settings.min_coverage)]
        if popular is not None and new.model.name != "popularity":
            checks.append(_not_below(BETTER, metric, own, popular, 0.0, "popularity"))
        before = None if current is None else _metrics_to_reach(new, current)
        if before is not None:
            loss = self.settings.max_metric_loss
            checks.append(_not_below(AS_GOOD, metric, own, before, loss, "the current version"))
        return [*checks, *self._of_new_items(new, current)]

    def _of_new_items(self, new: Manifest, current: Manifest | None) -> list[Check]:
        """Compare recall over new items alone to that of the current version, if both have it."""
        if current is None or _metrics_to_reach(new, current) is None:
            return []
        own, before = (
            one.metrics.get(on_catalogue(one.model.name, "cold")) for one in (new, current)
        )
        if own is None or before is None:
            return []
        loss = self.settings.max_metric_loss
        metric = f"recall@{own.k}"
        return [_not_below(NEW_AS_GOOD, metric, own, before, loss, "the current version")]

    def _refusing(self, checks: list[Check]) -> list[Check]:
        """Mark the checks that refuse: all that did not pass, unless they are off."""
        off = self.settings.off
        return [
            replace(check, refuses=not check.passed and check.name not in off) for check in checks
        ]

    def _of_drift(self, checks: Sequence[Check], new: Manifest, current: Manifest) -> list[Check]:
        """Mark the measures that refuse: far above their limit, and not by a change of settings."""
        explained = _explained(new, current)
        return [self._held(check, explained.get(MEASURES[check.name].of)) for check in checks]

    def _held(self, check: Check, explanation: str | None) -> Check:
        if check.passed or check.value is None or check.threshold is None:
            return check
        if explanation is not None:
            return replace(check, sentence=f"{check.sentence} ({explanation})")
        is_far = check.value > self.settings.refuse_above * check.threshold
        return replace(check, refuses=is_far and check.name not in self.settings.off)


def _with_vectors(staged: Content) -> Check:
    """Look for users, of a sample, whose vectors are zero, or nearly so."""
    users = staged.users.embeddings
    norms = norms_of(users[:: -(-len(users) // _MOST_NORMS) or 1])
    share = float((norms > _NEARLY_ZERO * norms.max(initial=0)).mean()) if len(norms) else 0.0
    sentence = (
        f"{VECTORS} {share:.3g} (at least {_LEAST_WITH_VECTORS:.0%}): {share:.1%} of the users "
        "have a vector that is not all but zero"
    )
    passed = share >= _LEAST_WITH_VECTORS
    return Check(VECTORS, share, _LEAST_WITH_VECTORS, passed, sentence)


def _above_chance(staged: Content, n_users: int) -> Check:
    """Compare scores of what users have seen to those of what they have not."""
    if staged.version.manifest.model.name == "popularity":
        # Which need not know what a single user has seen.
        return not_measured(CHANCE, "popularity is the same for all users")
    areas = _areas_of_own_pairs(staged, n_users)
    if len(areas) < TOO_FEW:
        return not_measured(CHANCE, f"{len(areas)} users tell little")
    mean, half = float(areas.mean()), 3 * float(areas.std(ddof=1)) / len(areas) ** 0.5
    low, high = mean - half, mean + half
    sentence = (
        f"{CHANCE}: what a user has seen scores above another item in {mean:.1%} ({low:.1%} - "
        f"{high:.1%}) of the pairs of {len(areas):,} users; its lower end should pass 50 %"
    )
    return Check(CHANCE, low, 0.5, low > 0.5, sentence)


def _areas_of_own_pairs(content: Content, n_users: int) -> NDArray[np.float64]:
    """Return how often a seen item of a user scores above another one, .5 by chance.

    Of a sample of the users, those without a seen item or another one left out.
    """
    rng = np.random.default_rng(0)
    n = len(content.users.ids)
    chosen = np.sort(rng.choice(n, min(n_users, n), replace=False))
    areas = (_area_of(content, row, rng) for row in chosen.tolist())
    return np.array([area for area in areas if area is not None])


def _area_of(content: Content, row: int, rng: np.random.Generator) -> float | None:
    items, seen = content.items.embeddings, content.users.seen.liked(row)
    others = _without(rng.integers(0, len(items), 2 * _MOST_ITEMS), content.users.seen[row])
    if not len(seen) or not len(others):
        return None
    user = content.users.embeddings[row].astype(np.float64)
    a, b = (np.asarray(items[rows] @ user) for rows in (_some(seen, rng), _some(others, rng)))
    n = len(a) * len(b)
    return np.count_nonzero(a[:, None] > b) / n + 0.5 * np.count_nonzero(a[:, None] == b) / n


def _without(rows: NDArray[np.integer], left_out: NDArray[np.integer]) -> NDArray[np.integer]:
    """Return what `np.setdiff1d` does, which would take half the time of this check."""
    rows = np.sort(rows)
    is_kept = np.append(True, rows[1:] != rows[:-1])
    places = np.searchsorted(rows, left_out).clip(max=len(rows) - 1)
    is_kept[places[rows[places] == left_out]] = False
    kept: NDArray[np.integer] = rows[is_kept]
    return kept


def _some(rows: NDArray[np.integer], rng: np.random.Generator) -> NDArray[np.integer]:
    return rows if len(rows) <= _MOST_ITEMS else rng.choice(rows, _MOST_ITEMS, replace=False)


def _nothing_compared(current: Damaged) -> Check:
    sentence = (
        f"comparison: nothing could be compared with version {current.version}, the only one left: "
        f"{current.reason}; bring a version back from a backup, or publish once with "
        "gates.enabled = false"
    )
    return Check("comparison", None, None, passed=False, sentence=sentence, refuses=True)


def _coverage(own: EvaluationSummary, least: float) -> Check:
    name = f"coverage@{own.k}"
    value = own.metrics.get(name)
    passed = value is None or value >= least
    shown = "not measured" if value is None else f"{value:.4f}"
    return Check(COVERAGE, value, least, passed, f"{COVERAGE}: {name} {shown}, at least {least:g}")


def _not_below(
    name: str,
    metric: str,
    own: EvaluationSummary,
    other: EvaluationSummary,
    loss: float,
    whose: str,
) -> Check:
    """Compare the upper end of an interval to the lower end of another, less a share."""
    if metric not in own.intervals or metric not in other.intervals:
        return not_measured(name, f"no interval of {metric}")
    high, low = own.intervals[metric][1], (1 - loss) * other.intervals[metric][0]
    passed = high >= low
    sentence = (
        f"{name}: {metric} {_interval(own, metric)}, {whose} {_interval(other, metric)}; its upper "
        f"end should reach {low:.4f}"
    )
    return Check(name, high, low, passed, sentence)


def _metrics_to_reach(new: Manifest, current: Manifest) -> EvaluationSummary | None:
    """Return the evaluation of the current version, if it was tested as the new one was."""
    if new.config.get("evaluation") != current.config.get("evaluation"):
        return None
    return current.evaluation


def _explained(new: Manifest, current: Manifest) -> dict[str, str]:
    """Return the groups of measures that a change of settings moves, with the reason."""
    explained = {}
    if _log_settings(new) != _log_settings(current):
        groups = ("log", "population", "vectors", "lists")
        explained = dict.fromkeys(groups, "the settings of the log changed")
    if current.model.mean_weight is None and new.model.unit != 1:
        reason = "weights are in units of their mean now"
        explained |= dict.fromkeys(("vectors", "lists"), reason)
    if _SCALED_DOWN * new.model.unit < current.model.unit:  # as by roots of values
        reason = "weights are on another scale"
        explained |= dict.fromkeys(("vectors", "lists"), reason)
    if new.model != current.model:
        explained |= dict.fromkeys(("vectors", "lists"), "the model changed")
    return explained


def _log_settings(manifest: Manifest) -> dict[str, Any]:
    """Return the settings as JSON holds them, those that an older release lacked by default."""
    settings = json.loads(json.dumps({**asdict(LogSettings()), **manifest.config.get("log", {})}))
    if settings["value_scale"] == "auto":
        limits = (settings["min_value"], settings["max_disliked_value"])
        settings["value_scale"] = "linear" if limits == (None, None) else "none"
    return {name: value for name, value in settings.items() if name not in _CHANGE_NO_ROW}


def _interval(result: EvaluationSummary, metric: str) -> str:
    low, high = result.intervals[metric]
    return f"{result.metrics[metric]:.4f} ({low:.4f} - {high:.4f})"
