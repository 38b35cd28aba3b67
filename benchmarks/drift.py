"""Are quiet nights quiet, and are planted faults found? The gates on resampled nights of real logs.

    RECSYS_DATA=folder python -m benchmarks.drift [--logs sample online-retail] [--nights 20]

A night is a training on all events up to the end of another day, or on those of the last 90 days;
Gowalla has no time, so that there a night adds half a percent of the events, drawn at random. Every
night is published with the gates as shipped, into a store of its own, so that limits are learned as
they would be. A night that is refused is counted and activated by force. After the last night,
faults are planted in the log of the next one. Prints three Markdown tables: false alarms, faults,
and the largest value of each measure over the quiet nights next to the shipped limit
(`recsys.monitoring.DEFAULT_LIMITS`). Event types and rejected rows do not differ between these
nights: they are counted when a log is read, and these are parts of one that was read once. With
``--seeds``, prints instead what another seed of the model changes on the same log.
"""

import argparse
import tempfile
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

import recsys
from recsys.config import Settings, read_config, settings_from
from recsys.errors import GateFailedError
from recsys.inputs import read_attributes
from recsys.logs import Interactions, attributes_of
from recsys.models import ALS, model_from, parameters_of
from recsys.monitoring import DEFAULT_LIMITS
from recsys.store import Manifest, Version, activate, current, find_version

ROOT = Path(__file__).parents[1]
DAY = 86_400
FAULTS: dict[str, Callable[[Interactions, "World"], Interactions | None]] = {}


@dataclass(frozen=True, eq=False)
class World:
    """A log, how it is read, the category of each item, if it has any, and the days of a window."""

    name: str
    settings: Settings
    log: Interactions
    category: NDArray[np.str_] | None
    window: int | None = None

    def nights(self, n: int) -> Iterator[Interactions]:
        """Yield the logs of the last nights, the first of them the start."""
        if self.log.timestamp is None:
            order = np.random.default_rng(0).permutation(len(self.log))
            for night in range(n):
                share = 1 - 0.005 * (n - 1 - night)
                yield self.log.select(np.sort(order[: int(share * len(order))])).compact()
            return
        day_of = self.log.timestamp // DAY
        for day in np.unique(day_of)[-n - 1 : -1]:  # the last day may not be whole
            is_in = (day_of <= day) & (day_of > day - (self.window or day + 1))
            yield self.log.select(is_in).compact()


def worlds(names: list[str]) -> Iterator[World]:
    readers = {
        "sample": (ROOT / "pipelines" / "sample.toml", _by_category),
        "online-retail": (ROOT / "pipelines" / "examples" / "online_retail.toml", _by_prefix),
        "90 days of it": (ROOT / "pipelines" / "examples" / "online_retail.toml", _by_prefix),
        "deskdrop": (ROOT / "pipelines" / "examples" / "deskdrop.toml", None),
        "gowalla": (ROOT / "pipelines" / "examples" / "gowalla.toml", None),
    }
    for name in names:
        path, categories = readers[name]
        settings = read_config(path)
        settings = replace(settings, model=settings.model or ALS())  # the same in every night
        log = recsys.read_log(settings.data.log, settings.log)
        if name == "gowalla":
            settings = replace(
                settings, evaluation=settings_from({"evaluation": {"split": "last"}}).evaluation
            )
        window = 90 if name == "90 days of it" else None
        yield World(name, settings, log, categories and categories(settings, log), window)


def _by_category(settings: Settings, log: Interactions) -> NDArray[np.str_]:
    table = read_attributes(settings)
    assert table is not None
    return np.array(attributes_of(table, log.items)["category"].to_pylist(), dtype=np.str_)


def _by_prefix(_: Settings, log: Interactions) -> NDArray[np.str_]:
    """Take the first three characters of a stock code, which number the shop's ranges."""
    return np.array([str(item)[:3] for item in log.items.tolist()], dtype=np.str_)


def fault(name: str) -> Callable[..., Callable[..., Interactions | None]]:
    def register(
        plant: Callable[[Interactions, World], Interactions | None],
    ) -> Callable[..., Interactions | None]:
        FAULTS[name] = plant
        return plant

    return register


@fault("half the log missing")
def _half(log: Interactions, _: World) -> Interactions:
    return log.select(np.random.default_rng(1).random(len(log)) < 0.5).compact()


@fault("the newest day missing, but for a hundredth")
def _most_of_a_day(log: Interactions, _: World) -> Interactions | None:
    return _newest_day(log, 0.01)


@fault("half of the newest day missing")
def _half_a_day(log: Interactions, _: World) -> Interactions | None:
    return _newest_day(log, 0.5)


@fault("nothing after the middle of the newest day")
def _stopped(log: Interactions, _: World) -> Interactions | None:
    if log.timestamp is None:
        return None
    day_of = log.timestamp // DAY
    middle = np.median(log.timestamp[day_of == day_of.max()])
    return log.select(log.timestamp <= middle).compact()


def _newest_day(log: Interactions, kept: float) -> Interactions | None:
    if log.timestamp is None:
        return None
    day_of = log.timestamp // DAY
    is_kept = np.random.default_rng(1).random(len(log)) < kept
    return log.select((day_of < day_of.max()) | is_kept).compact()


@fault("a bot adds 5 % of the events")
def _bot(log: Interactions, _: World) -> Interactions:
    n, rng = len(log) // 20, np.random.default_rng(1)
    when = None
    if log.timestamp is not None:
        when = np.append(log.timestamp, np.full(n, log.timestamp[-1]))
    ids = [*log.users.tolist(), 10**9 if log.users.are_integers else "bot"]
    return replace(
        log,
        user_idx=np.append(log.user_idx, np.full(n, len(log.users), np.int32)),
        item_idx=np.append(log.item_idx, rng.integers(0, len(log.items), n, np.int32)),
        weight=np.append(log.weight, np.full(n, np.median(log.weight), np.float32)),
        timestamp=when,
        users=recsys.Ids(ids),
    )


@fault("ids of items permuted")
def _items(log: Interactions, _: World) -> Interactions:
    return replace(log, items=log.items.take(np.random.default_rng(1).permutation(len(log.items))))


@fault("ids of users permuted")
def _users(log: Interactions, _: World) -> Interactions:
    return replace(log, users=log.users.take(np.random.default_rng(1).permutation(len(log.users))))


@fault("weights ten times as large")
def _weights(log: Interactions, _: World) -> Interactions:
    return replace(log, weight=log.weight * 10)


@fault("one category gone")
def _category(log: Interactions, world: World) -> Interactions | None:
    if world.category is None:
        return None
    category = world.category[world.log.items.rows(log.items.tolist())]
    names, counts = np.unique(category[log.item_idx], return_counts=True)
    order = np.argsort(counts)
    middle = order[np.searchsorted(np.cumsum(counts[order]), len(log) / 2)]
    return log.select(category[log.item_idx] != names[middle]).compact()


@dataclass
class Outcome:
    """What became of a night."""

    version: Version
    refused: bool

    @property
    def failed(self) -> list[str]:
        """The checks that did not pass."""
        return [check.name for check in self.version.manifest.checks if not check.passed]

    @property
    def refusing(self) -> list[str]:
        """Those of them that refuse."""
        return [check.name for check in self.version.manifest.checks if check.refuses]


def publish(log: Interactions, world: World, store: Path) -> Outcome:
    try:
        return Outcome(recsys.train(log, store, settings=world.settings), refused=False)
    except GateFailedError as error:
        return Outcome(find_version(store, error.version), refused=True)


def quiet_nights(world: World, logs: list[Interactions], store: Path) -> list[Outcome]:
    recsys.train(logs[0], store, settings=world.settings)
    outcomes = []
    for log in logs[1:]:
        outcomes.append(publish(log, world, store))
        activate(store, outcomes[-1].version.name, force=True)
    return outcomes


def planted(world: World, log: Interactions, store: Path) -> dict[str, Outcome | None]:
    last, found = current(store), {}
    assert last is not None
    for name, plant in FAULTS.items():
        bad = plant(log, world)
        found[name] = None if bad is None else publish(bad, world, store)
        activate(store, last, force=True)
    return found


def other_seeds(world: World, n: int, store: Path) -> list[Outcome]:
    """Train on one log with seed after seed, each compared to the first."""
    first = recsys.train(world.log, store, settings=world.settings)
    outcomes = []
    for seed in range(1, n + 1):
        model = world.settings.chosen_model
        model = model_from(model.name, {**parameters_of(model), "seed": seed})
        settings = replace(world.settings, model=model)
        outcomes.append(publish(world.log, replace(world, settings=settings), store))
        activate(store, first.name)
    return outcomes


def verdict(outcome: Outcome | None) -> str:
    if outcome is None:
        return "-"
    if not outcome.failed:
        return "missed"
    names = outcome.refusing if outcome.refused else outcome.failed
    more = f" and {len(names) - 2} more" if len(names) > 2 else ""
    return f"{'refused' if outcome.refused else 'reported'}: {', '.join(names[:2])}{more}"


def print_table(rows: list[list[str]]) -> None:
    head, *body = rows
    for row in (head, ["---", *["---:"] * (len(head) - 1)], *body):
        print(f"| {' | '.join(row)} |")
    print(flush=True)


def largest(manifests: list[Manifest]) -> Mapping[str, float]:
    found: dict[str, float] = {}
    for manifest in manifests:
        for check in manifest.checks:
            if check.value is not None:
                found[check.name] = max(found.get(check.name, 0.0), check.value)
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    logs = ["sample", "online-retail", "90 days of it", "deskdrop", "gowalla"]
    parser.add_argument("--logs", nargs="+", default=logs, choices=logs)
    parser.add_argument("--nights", type=int, default=20)
    parser.add_argument("--seeds", type=int, default=0)
    options = parser.parse_args()
    quiet: dict[str, list[Outcome]] = {}
    faults: dict[str, dict[str, Outcome | None]] = {}
    with tempfile.TemporaryDirectory() as folder:
        for world in worlds(options.logs):
            store = Path(folder) / world.name
            if options.seeds:
                quiet[world.name] = other_seeds(world, options.seeds, store)
                continue
            *past, last = world.nights(options.nights + 2)
            quiet[world.name] = quiet_nights(world, past, store)
            faults[world.name] = planted(world, last, store)
        if options.seeds:  # while the manifests are there to be read
            print_largest(quiet)
        else:
            print_all(quiet, faults)


def print_all(
    quiet: Mapping[str, list[Outcome]], faults: Mapping[str, Mapping[str, Outcome | None]]
) -> None:
    print_table(
        [
            ["log", "nights", "reported", "refused", "what was reported"],
            *(_quiet_row(name, outcomes) for name, outcomes in quiet.items()),
        ]
    )
    print_table(
        [["fault", *faults]]
        + [[name, *(verdict(found[name]) for found in faults.values())] for name in FAULTS]
    )
    print_largest(quiet)


def print_largest(quiet: Mapping[str, list[Outcome]]) -> None:
    by_log = {
        name: largest([one.version.manifest for one in outcomes])
        for name, outcomes in quiet.items()
    }
    print_table(
        [["measure, largest of the nights", *by_log, "limit"]]
        + [
            [
                name,
                *(f"{found[name]:.3g}" if name in found else "-" for found in by_log.values()),
                f"{limit:g}",
            ]
            for name, limit in DEFAULT_LIMITS.items()
        ]
    )


def _quiet_row(name: str, outcomes: list[Outcome]) -> list[str]:
    reported = [outcome for outcome in outcomes if outcome.failed]
    names = sorted({f for outcome in reported for f in outcome.failed})
    refused = sum(outcome.refused for outcome in outcomes)
    return [
        name,
        str(len(outcomes)),
        str(len(reported)),
        str(refused),
        ", ".join(names) or "nothing",
    ]


if __name__ == "__main__":
    main()
