"""What a page shows of a version: its numbers beside those of its parent and of popularity.

Nothing is fitted or evaluated here. What a version does not hold is said, with the command that
measures it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

from recsys.base.charts import Dot, DotPlot, LinePlot, interval_of
from recsys.base.errors import StoreError
from recsys.evaluation import TOLERANCE
from recsys.evaluation.new_items import on_catalogue
from recsys.monitoring.drift import ancestors, plot_of_limits
from recsys.monitoring.measures import MEASURES
from recsys.monitoring.version_facts import (
    by_factors,
    groups_section,
    index_section,
    log_section,
    night_section,
    rules_sections,
)
from recsys.monitoring.version_lists import SampleUser, long_tail, sample_users
from recsys.monitoring.version_parts import ReportTable, Section
from recsys.serving import Recommender
from recsys.store import Check, Content, EvaluationSummary, Manifest, find_version
from recsys.store.listing import chart_of_versions, main_metric
from recsys.store.remote import store_folder
from recsys.tuning import Choice

_MOST_ANCESTORS = 30


@dataclass(frozen=True)
class VersionReport:
    """What a page shows of a version.

    Parameters
    ----------
    version : str
        Its name.
    caption : str
        What it is, in a sentence.
    is_refused : bool
        Whether a gate refused it.
    figures : sequence of (str, str, str)
        The first numbers: a name, a value, and what it is to be compared to.
    sections : sequence of Section
    users : sequence of SampleUser
        With `users_rule`, how they were chosen.
    """

    version: str
    caption: str
    is_refused: bool
    figures: Sequence[tuple[str, str, str]]
    sections: Sequence[Section]
    users: Sequence[SampleUser]
    users_rule: str


def version_report(
    store: str | Path, version: str | None = None, *, seed: int = 0
) -> VersionReport:
    """Return what a page shows of a version.

    Parameters
    ----------
    version : str, optional
        Default: the current one. One that was refused is shown as well.
    seed : int
        Of the users that are drawn.

    Raises
    ------
    StoreError
        If there is no such version, or it is damaged.
    """
    store = store_folder(store)
    found = find_version(store, version)
    content = Content.of(found)
    manifest, recommender = found.manifest, Recommender(content)
    parent = _parent_of(store, manifest)
    tail, covered = long_tail(content, recommender, seed)
    users, rule = sample_users(content, recommender, seed)
    sections = [
        _metrics(manifest, parent),
        groups_section(manifest),
        _tried(manifest),
        index_section(manifest),
        _checks(manifest),
        _drift(manifest),
        Section("Long tail and coverage", covered, [tail]),
        _ancestry(store, manifest),
        log_section(manifest),
        *rules_sections(manifest),
        night_section(store, manifest),
    ]
    return VersionReport(
        manifest.version,
        _caption(manifest),
        manifest.status == "refused",
        _figures(manifest, parent),
        sections,
        users,
        rule,
    )


def _parent_of(store: Path, manifest: Manifest) -> Manifest | None:
    """Return the manifest of the parent; None where it is not there, or cannot be read."""
    if manifest.parent is None:
        return None
    try:
        return find_version(store, manifest.parent).manifest
    except StoreError:
        return None


def _caption(manifest: Manifest) -> str:
    made = datetime.fromisoformat(manifest.created).astimezone(UTC)
    refused = " A gate refused it: it never became current." if manifest.status == "refused" else ""
    return (
        f"{manifest.model.name} with {manifest.factors} factors for {manifest.n_users:,} users and "
        f"{manifest.n_items:,} items, made {made:%Y-%m-%d %H:%M} UTC.{refused}"
    )


def _figures(manifest: Manifest, parent: Manifest | None) -> list[tuple[str, str, str]]:
    own, before = main_metric(manifest), None if parent is None else main_metric(parent)
    popular = manifest.metrics.get("popularity")
    found = []
    if own is not None and own["value"] is not None:
        name, against = own["name"], []
        if popular is not None and name in popular.metrics:
            against.append(f"popularity {popular.metrics[name]:.4f}")
        if before is not None and before["name"] == name:
            against.append(f"parent {before['value']:.4f}")
        found.append((name, f"{own['value']:.4f}", ", ".join(against)))
    failed = [check for check in manifest.checks if not check.passed]
    taken = sum(check.value is not None for check in manifest.checks)
    recall = manifest.index.main.recall
    return [
        *found,
        ("checks not passed", f"{len(failed)} of {taken}", ", ".join(one.name for one in failed)),
        *(
            (f"index recall@{k}", f"{value:.3f}", "share of the exact list")
            for k, value in list(recall.items())[:1]
            if value is not None
        ),
        ("users", f"{manifest.n_users:,}", _before(parent, lambda one: one.n_users)),
        ("items", f"{manifest.n_items:,}", _before(parent, lambda one: one.n_items)),
    ]


def _before(parent: Manifest | None, count: Callable[[Manifest], int]) -> str:
    return "" if parent is None else f"parent {count(parent):,}"


def _metrics(manifest: Manifest, parent: Manifest | None) -> Section:
    own = manifest.evaluation
    if own is None:
        return Section(
            "Accuracy",
            [
                "This version was published without a test part (evaluation.split none): "
                "recsys evaluate LOG tests its model, and publishes nothing."
            ],
        )
    others = {"popularity": manifest.metrics.get("popularity")}
    others["parent"] = None if parent is None else parent.evaluation
    shown = {manifest.model.name: own} | {
        name: one for name, one in others.items() if one is not None and one is not own
    }
    compared = dict(shown)
    sentences = [
        f"Means over the users of the test part, {own.n_users:,}, with {own.n_items:,} items "
        "ranked for each, and 95 % intervals."
    ]
    for catalogue in ("cold", "mixed"):
        name = on_catalogue(manifest.model.name, catalogue)
        if name in manifest.metrics:
            one = shown[name] = manifest.metrics[name]
            sentences.append(f"{name}: {one.n_users:,} users, {one.n_items:,} items ranked.")
    rows = [[name, *(_with_interval(one, name) for one in shown.values())] for name in own.metrics]
    if parent is not None:
        sentences.append(
            f"The parent, {parent.version}, was tested on the test part of its own log."
        )
    elif manifest.parent is not None:
        sentences.append(f"The parent, {manifest.parent}, is not in the store any more.")
    table = ReportTable(["metric", *shown], rows, list(shown))
    return Section("Accuracy", sentences, [*_beside(manifest, compared), *own.charts()], [table])


def _beside(manifest: Manifest, shown: dict[str, EvaluationSummary]) -> list[DotPlot]:
    """Return the main metric of all that are compared as a plot; none of one alone."""
    metric = main_metric(manifest)
    if metric is None or len(shown) < 2:
        return []
    name = metric["name"]
    dots = [
        Dot(
            model,
            one.metrics[name],
            interval_of(one.intervals.get(name)),
            is_marked=model == manifest.model.name,
        )
        for model, one in shown.items()
        if name in one.metrics
    ]
    return [DotPlot(f"{name}, 95 % interval", dots)]


def _with_interval(one: EvaluationSummary, name: str) -> str:
    if name not in one.metrics:
        return ""
    low, high = interval_of(one.intervals.get(name))
    ends = "" if low is None or high is None else f" ({low:.4f} to {high:.4f})"
    return f"{one.metrics[name]:.4f}{ends}"


def _tried(manifest: Manifest) -> Section:
    if manifest.model.choice is None:
        return Section(
            "Choice of the model",
            [
                f"{manifest.model.name} was named in the settings, so nothing else was tried. "
                "recsys compare LOG tries others; recsys dimensions LOG shows what each number of "
                "factors costs and gives.",
                _parameters(manifest),
            ],
        )
    choice = Choice.from_dict(manifest.model.choice)
    chosen = max((one.value for one in choice.tried if one.factors), default=0.0)
    rows = [
        [
            one.name,
            str(one.factors or ""),
            f"{one.value:.4f}",
            _why(choice, one.name, one.factors, one.value, chosen),
        ]
        for one in choice.best.values()
    ]
    headings = ["the best of each kind", "factors", choice.metric, "why it is, or is not, the one"]
    tables = [ReportTable(headings, rows, headings[1:3])] if rows else []
    curve = "recsys dimensions LOG shows what each number of factors costs and gives."
    sentences = [*choice.sentences[:1], curve, _parameters(manifest)]
    charts = [*by_factors(choice), *choice.charts()]
    return Section("Choice of the model", sentences, charts, tables)


def _why(choice: Choice, name: str, factors: int, value: float, best: float) -> str:
    if name == choice.name:
        return "chosen"
    if not factors:
        return "it has no vectors to publish"
    if value < (1 - TOLERANCE) * best:
        return f"{1 - value / best:.1%} below the best with vectors"
    return f"within {TOLERANCE:.0%} of the best, with more factors"


def _parameters(manifest: Manifest) -> str:
    listed = ", ".join(f"{name} {value}" for name, value in manifest.model.parameters.items())
    ridges = [
        f"{one['ridge']:.4g} ({side})" for side, one in manifest.features.items() if "ridge" in one
    ]
    chosen = f" Ridge of the map of features: {', '.join(ridges)}." if ridges else ""
    return f"Hyperparameters: {listed}.{chosen}"


def _checks(manifest: Manifest) -> Section:
    own = [check for check in manifest.checks if check.name not in MEASURES]
    if not own:
        return Section("Gates", ["No gate looked at this version."])
    refusing = [check for check in manifest.checks if check.refuses and not check.passed]
    sentence = f"{sum(check.passed for check in own)} of {len(own)} passed"
    refused = f"; refused by {', '.join(one.name for one in refusing)}" if refusing else ""
    return Section("Gates", [f"{sentence}{refused}."], tables=[_table_of(own)])


def _drift(manifest: Manifest) -> Section:
    measured = [check for check in manifest.checks if check.name in MEASURES]
    if not measured:
        why = "no version before it" if manifest.parent is None else "not measured for this one"
        return Section("Drift", [f"{why[:1].upper()}{why[1:]}: recsys drift A B compares any two."])
    sentence = (
        f"How it differs from {manifest.parent or 'the version before'}: 0 is no difference. "
        "recsys drift names the items that moved most."
    )
    return Section("Drift and churn", [sentence], plot_of_limits(measured), [_table_of(measured)])


def _table_of(checks: Sequence[Check]) -> ReportTable:
    rows = [
        [
            check.name,
            "" if check.value is None else f"{check.value:.4g}",
            "" if check.threshold is None else f"{check.threshold:.4g}",
            _passed(check),
            check.sentence.partition(": ")[2] or check.sentence,
        ]
        for check in checks
    ]
    return ReportTable(["check", "value", "limit", "passed", "found"], rows, ["value", "limit"])


def _passed(check: Check) -> str:
    if check.value is None:
        return "-"
    if check.passed:
        return "yes"
    return "refused" if check.refuses else "no"


def _ancestry(store: Path, manifest: Manifest) -> Section:
    found = ancestors(find_version(store, manifest.version), _MOST_ANCESTORS)
    rows = [
        [
            one.version,
            f"{one.model.name} {one.factors}",
            _main_value(one),
            f"{one.n_users:,}",
            f"{one.n_items:,}",
            one.status,
        ]
        for one in found
    ]
    headings = ["version", "model", "accuracy", "users", "items", "status"]
    sentences = [] if len(found) > 1 else ["There is no version before it in the store."]
    plots: list[LinePlot] = chart_of_versions([find_version(store, one.version) for one in found])
    return Section("Ancestors", sentences, plots, [ReportTable(headings, rows, ["users", "items"])])


def _main_value(manifest: Manifest) -> str:
    metric = main_metric(manifest)
    if metric is None or metric["value"] is None:
        return ""
    low, high = interval_of(metric["interval"])
    half = "" if low is None or high is None else f" ± {(high - low) / 2:.4f}"
    return f"{metric['name']} {metric['value']:.4f}{half}"
