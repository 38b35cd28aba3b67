"""Drift: all measures between two versions, as one report."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any

from recsys.monitoring.lists import measure_lists
from recsys.monitoring.log import measure_log
from recsys.monitoring.measures import DEFAULT_LIMITS, held_to
from recsys.monitoring.population import Shared, measure_population
from recsys.monitoring.vectors import Moved, measure_movement, measure_shape
from recsys.store import Check, Content


@dataclass(frozen=True)
class DriftReport:
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

    Vectors are compared as they are: what needs common coordinates is left out, and the report says
    so, where the two versions have not the same `space_id`. Time grows with the number of items and
    of pairs; memory with the number of ids alone.

    Parameters
    ----------
    a, b : Content
        As `recsys.store.read_version` returns them; a is the earlier one.
    limits : mapping of str to float, optional
        By the name of the measure; one without a limit is only told. Default: the shipped ones.
    k : int
        Length of the lists that are compared.
    n_users, n_items : int
        Users, drawn at random, whose lists are compared, and items, drawn by popularity, whose
        neighbours are.
    seed : int

    Returns
    -------
    DriftReport
    """
    limits = DEFAULT_LIMITS if limits is None else limits
    users, items = Shared.of(a.users.ids, b.users.ids), Shared.of(a.items.ids, b.items.ids)
    movement = measure_movement(a, b, items)
    measured = [
        *measure_log(a.version.manifest, b.version.manifest),
        *measure_population(a, b, users, items),
        *movement.measures,
        *measure_shape(a, b, items, n_items, seed),
        *measure_lists(a, b, users.sample(n_users, seed), items, k=k),
    ]
    return DriftReport(
        a.version.name,
        b.version.name,
        tuple(held_to(one, limits) for one in measured),
        users.counts,
        items.counts,
        movement.percentiles,
        movement.most,
    )
