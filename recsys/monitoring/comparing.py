"""drift(): how a version differs from another."""

from collections.abc import Mapping

from recsys.monitoring.limits import DEFAULT_LIMITS
from recsys.monitoring.lists import measure_lists
from recsys.monitoring.log import measure_log
from recsys.monitoring.measured import held_to
from recsys.monitoring.movement import measure_movement, measure_shape
from recsys.monitoring.population import measure_population
from recsys.monitoring.report import DriftReport
from recsys.monitoring.shared import Shared
from recsys.store import Content


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
        *measure_log(a.version.manifest.data, b.version.manifest.data),
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
