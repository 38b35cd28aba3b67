"""Drift: all measures between two versions as one report, and the limits they are held to."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.charts import Dot, DotPlot
from recsys.base.errors import (
    CorruptVersionError,
    StoreError,
    UnreadableError,
    VersionNotFoundError,
)
from recsys.base.progress import printable
from recsys.base.reading import lacks_right
from recsys.base.tables import Tabular, table_of
from recsys.monitoring.list_pair import ListPair
from recsys.monitoring.log import Log
from recsys.monitoring.measures import MEASURES, Group, checks_of, measures_of
from recsys.monitoring.population import Population, Shared
from recsys.monitoring.vectors import Moved, VectorPair
from recsys.settings import GateSettings
from recsys.store import Check, Content, Manifest, Version, find_version, served

DEFAULT_LIMITS: Mapping[str, float] = {
    name: one.limit for name, one in MEASURES.items() if one.of != "feed"
}
"""The shipped limits of the measures of drift. Those of the newest events are none of them:
their limits are not learned, as a feed that stops would become the usual."""

_EDGE = 3.0  # times its limit: what is above is drawn here


def plot_of_limits(checks: Sequence[Check]) -> list[DotPlot]:
    """Return measures as shares of their limits; no plot where none was measured."""
    dots = [
        Dot(
            check.name,
            min(check.value / check.threshold, _EDGE),
            is_marked=not check.passed,
            note=f"{check.value:.3g} of {check.threshold:.3g}",
        )
        for check in checks
        if check.value is not None and check.threshold
    ]
    title = f"measures as shares of their limits (at most {_EDGE:g})"
    return [DotPlot(title, dots, reference=1.0, reference_name="limit")] if dots else []


@dataclass(frozen=True, repr=False)
class DriftReport(Tabular):
    """How version b differs from version a.

    Parameters
    ----------
    a, b : str
        Their names.
    checks : tuple of Check
        Every measure: 0 where both are the same, with its limit.
    users, items : mapping of str to int
        Numbers of ids that are "shared", "appeared" and "vanished".
    movement : mapping of str to float
        Percentiles of 1 - cosine over the shared items; empty where the spaces differ.
    moved : tuple of Moved
        The items whose move, times their popularity, is largest.
    """

    a: str
    b: str
    checks: tuple[Check, ...]
    users: Mapping[str, int]
    items: Mapping[str, int]
    movement: Mapping[str, float]
    moved: tuple[Moved, ...]

    @property
    def is_quiet(self) -> bool:
        """Whether every measure is within its limit."""
        return not self.alarms

    @property
    def alarms(self) -> tuple[Check, ...]:
        """The measures above their limits."""
        return tuple(check for check in self.checks if not check.passed)

    def to_arrow(self) -> pa.Table:
        """Return one row per measure: measure, value, limit, passed, and its sentence."""
        return table_of(
            {
                "measure": check.name,
                "value": check.value,
                "limit": check.threshold,
                "passed": check.passed,
                "sentence": check.sentence,
            }
            for check in self.checks
        )

    def charts(self) -> list[DotPlot]:
        """Return the measures as shares of their limits, those above them marked."""
        return plot_of_limits(self.checks)

    def caption(self) -> str:
        """Return whether all measures are within their limits."""
        found = "quiet" if self.is_quiet else f"{len(self.alarms)} measures above their limits"
        return f"from {self.a} to {self.b}: {found}"

    def __getitem__(self, name: str) -> Check:
        """Return a measure by its name."""
        return {check.name: check for check in self.checks}[name]

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {**asdict(self), "is_quiet": self.is_quiet}


def drift(
    a: Content,
    b: Content,
    limits: Mapping[str, float] | None = None,
    *,
    k: int = 10,
    n_users: int = 1000,
    n_items: int = 300,
    seed: int = 0,
) -> DriftReport:
    """Measure how version b differs from version a.

    Vectors are compared as they are: measures that need common coordinates are not taken, and the
    report says so, where the `space_id` of the two versions differs. Time grows with the number of
    items and of pairs; memory with the number of ids alone.

    Parameters
    ----------
    a, b : Content
        As `recsys.store.open_version` returns them; a is the earlier one.
    limits : mapping of str to float, optional
        By the name of the measure; one without a limit is reported only. Default: the shipped ones.
    k : int
        Length of the lists that are compared.
    n_users, n_items : int
        Users, drawn at random, whose lists are compared, and items, drawn by popularity, whose
        neighbours are.
    """
    limits = DEFAULT_LIMITS if limits is None else limits
    users, items = Shared.of(a.users.ids, b.users.ids), Shared.of(a.items.ids, b.items.ids)
    logs = Log.of(a.version.manifest), Log.of(b.version.manifest)
    populations = Population.of_users(a, b, users), Population.of_items(a, b, items)
    vectors = VectorPair(a, b, items, n_items, seed)
    checks = [
        *checks_of("log", limits, *logs),
        *checks_of("population", limits, *populations),
        *checks_of("vectors", limits, vectors),
        *checks_of("lists", limits, ListPair(a, b, users.sample(n_users, seed), items, k)),
    ]
    names = _Names(a, b, *populations, vectors.most_moved())
    return DriftReport(
        a.version.name,
        b.version.name,
        tuple(map(names.added_to, checks)),
        users.counts,
        items.counts,
        vectors.percentiles(),
        vectors.most_moved(),
    )


def drift_between(
    store: str | Path, a: str | None = None, b: str | None = None, *, history: int | None = None
) -> DriftReport:
    """Measure how version b of a store differs from version a, against the limits of the store.

    Parameters
    ----------
    a : str, optional
        Default: the parent of b.
    b : str, optional
        Default: the current version.
    history : int, optional
        Nights that limits are learned from. Default: that of `recsys.GateSettings`.

    Raises
    ------
    VersionNotFoundError
        If a version is not there, or b has no parent and a is not named.

    Examples
    --------
    ::

        recsys.drift_between("store").to_pandas()
    """
    later = find_version(store, b)
    name = a or later.manifest.parent
    if name is None:
        raise VersionNotFoundError(f"version {later}: has no parent to compare it to; name another")
    earlier = find_version(store, name)
    limits = learned_limits(ancestors(earlier, history or GateSettings.history))
    return drift(Content.of(earlier), Content.of(later), limits)


_MOST_NAMED = 3  # that a sentence names


@dataclass(frozen=True, eq=False)
class _Names:
    """What two versions call their users and items."""

    a: Content
    b: Content
    users: Population
    items: Population
    moved: Sequence[Moved]

    def added_to(self, check: Check) -> Check:
        """Return a check that did not pass with what moved most, a passed one as it is."""
        if check.passed:
            return check
        named = self._of(check.name)
        if not named:
            return check
        return replace(check, sentence=f"{check.sentence}; most: {', '.join(named)}")

    def _of(self, measure: str) -> list[str]:
        if measure.startswith("item_movement"):
            rows = self.a.items.ids.rows([one.item_id for one in self.moved[:_MOST_NAMED]])
            return [_name(self.a, "items", int(row)) for row in rows]
        if measure.startswith("busiest_"):
            return self._busiest(measure)
        of = self.users if measure.startswith("user") else self.items
        if measure.endswith("_vanished"):
            return _largest(self.a, of.kind, of.pairs_a, of.shared.in_a)
        if measure.endswith("_appeared"):
            return _largest(self.b, of.kind, of.pairs_b, of.shared.in_b)
        if measure in ("user_activity", "item_popularity"):
            return _most_changed(self.b, of)
        return []

    def _busiest(self, measure: str) -> list[str]:
        """Name who has most events, in the version where that share is larger."""
        versions = (self.a, self.b)
        most = max(versions, key=lambda one: Log.of(one.version.manifest).share(measure))
        kind = "users" if measure.endswith("user") else "items"
        id_ = getattr(most.version.manifest.log, f"{measure}_id")
        row = None if id_ is None else (most.users if kind == "users" else most.items).ids.find(id_)
        return [] if row is None else [_name(most, kind, row)]


def _largest(
    content: Content, kind: str, pairs: NDArray[np.float64], shared: NDArray[np.int32]
) -> list[str]:
    """Name the rows that the other version lacks and that have most pairs."""
    own = pairs.copy()
    own[shared] = -1
    rows = np.argsort(-own, kind="stable")[:_MOST_NAMED]
    return [f"{_name(content, kind, int(row))} ({own[row]:,.0f})" for row in rows if own[row] >= 0]


def _most_changed(content: Content, of: Population) -> list[str]:
    """Name the shared rows whose share of the pairs changed most, with their pairs."""
    a, b = of.pairs_a[of.shared.in_a], of.pairs_b[of.shared.in_b]
    change = np.abs(b / max(of.pairs_b.sum(), 1) - a / max(of.pairs_a.sum(), 1))
    most = np.argsort(-change, kind="stable")[:_MOST_NAMED]
    return [
        f"{_name(content, of.kind, int(of.shared.in_b[one]))} ({a[one]:,.0f} to {b[one]:,.0f})"
        for one in most
        if change[one] > 0
    ]


def _name(content: Content, kind: str, row: int) -> str:
    table = content.users if kind == "users" else content.items
    name = str(table.ids.tolist(np.array([row]))[0])
    attributes = content.attributes if kind == "items" else None
    if attributes is not None and "title" in attributes.column_names:
        title = attributes["title"][row].as_py()
        name = f"{title!r} ({name})" if title else name
    return printable(name)


def drift_of_manifests(
    a: Manifest, b: Manifest, limits: Mapping[str, float], reason: str
) -> list[Check]:
    """Take the measures of the log, which a manifest answers; the others for a reason not."""
    others: tuple[Group, ...] = ("population", "vectors", "lists")
    return [
        *checks_of("log", limits, Log.of(a), Log.of(b)),
        *(one.not_measured(limits, reason) for group in others for one in measures_of(group)),
    ]


_LEAST_NIGHTS = 5  # below, the shipped limits stand
_MARGIN = 2.0
_RANGE = (0.5, 4.0)  # of the shipped limit, that what was learned may leave it by


def learned_limits(nights: Sequence[Manifest]) -> dict[str, float]:
    """Return the limit of each measure of drift, from what it was on the nights before.

    The limit is twice the second largest value of these nights: one odd night teaches nothing. It
    stays between half the shipped limit and four times that, and is the shipped one where fewer
    than five nights have the measure.

    Parameters
    ----------
    nights : sequence of Manifest
        Of versions that were accepted, in any order.
    """
    known: dict[str, list[float]] = {}
    for manifest in nights:
        for check in manifest.checks:
            if check.value is not None:
                known.setdefault(check.name, []).append(check.value)
    return {
        name: _learned(limit, sorted(known.get(name, ()))) for name, limit in DEFAULT_LIMITS.items()
    }


def _learned(shipped: float, values: Sequence[float]) -> float:
    if len(values) < _LEAST_NIGHTS:
        return shipped
    least, most = (factor * shipped for factor in _RANGE)
    return min(max(_MARGIN * values[-2], least), most)


def ancestors(version: Version, most: int) -> list[Manifest]:
    """Return the manifests of a version, its parent, and so on, as far as they are kept.

    Those that a refresh made of another are left out: they are no nights.

    Each of them was current once: a refused version is among them only where someone forced it.

    Parameters
    ----------
    version : Version
        Of a store.
    """
    store = version.folder.parents[1]
    found: list[Manifest] = []
    name: str | None = version.name
    while name is not None and len(found) < most:
        try:
            manifest = find_version(store, name).manifest
        except (CorruptVersionError, UnreadableError) as error:  # it does not say its parent
            if isinstance(error, UnreadableError) and not lacks_right(error):
                raise
            name = next((before for before in served(store) if before < name), None)
            continue
        except StoreError:  # pruned
            break
        if manifest.refreshed_from is None:
            found.append(manifest)
        name = manifest.parent
    return found
