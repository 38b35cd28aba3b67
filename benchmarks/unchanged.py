"""One checksum per step, to show that two trees give the same results bit for bit.

    python -m benchmarks.unchanged > before.jsonl            # a minute and a half
    python -m benchmarks.unchanged --against before.jsonl    # exit code 1 where a step differs
    python -m benchmarks.unchanged --logs sample             # seconds
    PYTHONPATH=other/tree python -P benchmarks/unchanged.py  # this script over another tree

Three logs are read and split; every model is fitted, evaluated, published with an exact index and
asked for lists. Each step prints a line of JSON with the sha256 of its exact result: the bytes of
embeddings, matrices and files, and every id and number of evaluations and lists. A log that is not
there is skipped, and why is printed on stderr.

The script uses the documented names alone, so that it runs before and after a change of what is
behind them. Two outputs can be compared where processor, number of cores, Python and packages are
the same: with another number of threads, BLAS rounds some figures of evaluations and of alignment
otherwise (embeddings, files and lists stay the same), and another processor or BLAS may round
anything otherwise. The load makes no difference.
"""

import argparse
import json
import os
import sys
import tempfile
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from hashlib import sha256
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from pyarrow import csv

import recsys

ROOT = Path(__file__).parents[1]
SAMPLE = ROOT / "data" / "sample"
MODELS: dict[str, dict[str, Any]] = {  # small and short: what is compared is bits, not quality
    "als": {"factors": 16, "iterations": 4},
    "svd": {"factors": 16},
    "item2vec": {"factors": 16, "neighbors": 50},
    "softmax": {"factors": 16, "iterations": 2},
    "blend": {"als": {"factors": 8, "iterations": 2}, "svd": {"factors": 8}},
    "popularity": {},
}
N_USERS, N_OTHERS, K = 200, 50, 20
NOBODY = "nobody whom a log knows"


class Step(NamedTuple):
    """What was done with which log; the key of a line."""

    log: str
    step: str


Steps = dict[Step, str]
Part = tuple[Any, Any]  # train and test
Report = Callable[[str, Any], None]  # takes the name of a step and its result


@dataclass(frozen=True)
class World:
    """A log, how it is read and split, and conditions that its table of items can answer."""

    name: str
    log: Path
    split: Callable[[Any], Part]
    reading: Mapping[str, Any] = field(default_factory=dict)
    items: Path | None = None
    item_id: str = "item_id"  # what the table of items calls it
    where: str | None = None
    max_per: str | None = None
    served: Sequence[str] = tuple(MODELS)

    @property
    def why_not(self) -> str | None:
        """Why it cannot be read here; None where it can."""
        absent = [path for path in (self.log, self.items) if path is not None and not path.exists()]
        return f"{absent[0]} is not there; RECSYS_DATA names the folder of logs" if absent else None


def worlds() -> list[World]:
    """Return the bundled log, one split by its publishers, and one of ratings in CSV."""
    data = Path(os.environ.get("RECSYS_DATA", ""))
    gowalla, movies = data / "gowalla", data / "ml-latest-small"
    columns = {"user_id": "user", "item_id": "item"}
    return [
        World(
            name="sample",
            log=SAMPLE / "events.parquet",
            split=recsys.split_by_time,
            items=SAMPLE / "items.parquet",
            where="category in ('Cookbooks', 'Puzzle Books') or price < 20",
            max_per="category:2",
        ),
        World(
            name="gowalla",
            log=gowalla / "train.parquet",
            split=lambda log: public("split_given")(
                log, recsys.read_log(gowalla / "test.parquet", columns=columns)
            ),
            reading={"columns": columns},
            served=("als", "svd"),  # the others take minutes
        ),
        World(
            name="ml-latest-small",
            log=movies / "ratings.csv.gz",
            split=recsys.split_random,
            reading={
                "columns": {"user_id": "userId", "item_id": "movieId", "value": "rating"},
                "min_value": 4.0,
                "value_scale": "none",
            },
            items=movies / "movies.csv.gz",
            item_id="movieId",
            where="genres like '%Comedy%'",
            max_per="genres:2",
        ),
    ]


def public(name: str) -> Any:
    """Return a name from the front door, or from the room that it may have moved to."""
    for module in ("recsys", "recsys.splits", "recsys.evaluation"):
        with suppress(ImportError, AttributeError):
            return getattr(import_module(module), name)
    raise SystemExit(f"{name}: expected in recsys, recsys.splits or recsys.evaluation, found none")


def results(world: World, folder: Path, report: Report) -> None:
    """Report every step of one log."""
    log = recsys.read_log(world.log, **world.reading)
    report("read", of_log(log))
    for name, parts in all_splits(world, log):
        report(f"split {name}", [of_log(part) for part in parts])
    for name in MODELS:
        settings = settings_of(name, folder)
        fitted_and_evaluated(name, settings.model, *world.split(log), report)
    of_users_apart(settings_of("als", folder).model, log, report)
    items = items_of(world, folder)
    report("items", [] if items is None else items.to_pydict())
    yesterday, _ = public("split_last")(log)
    for name in world.served:
        store, settings = folder / name, settings_of(name, folder)
        for what, part in (("publish", yesterday), ("publish again, aligned,", log)):
            version = recsys.train(part, store, settings=settings, items=items)
            report(f"{what} {name}: files", files_of(store, version.name))
            report(f"{what} {name}: manifest", manifest_of(store, version.name))
        answers(name, world, recsys.open(store), log, report)


def all_splits(world: World, log: Any) -> Iterator[tuple[str, Sequence[Any]]]:
    """Return the parts of every way to split."""
    yield "of this log", world.split(log)
    yield "last", public("split_last")(log, n=2)
    yield "random", public("split_random")(log, seed=3)
    for number, parts in enumerate(public("split_folds")(log, n_folds=3)):
        yield f"fold {number}", parts
    yield "users", public("split_users")(log)


def fitted_and_evaluated(name: str, model: Any, train: Any, test: Any, report: Report) -> None:
    """Report what a model learns from train, and how good it is on test."""
    embeddings = model.fit(train.user_items())
    report(f"fit {name}", [embeddings.users, embeddings.items])
    report(f"evaluate {name}", of_evaluation(recsys.evaluate(embeddings, train, test, k=[5, K])))


def of_users_apart(model: Any, log: Any, report: Report) -> None:
    """Report the evaluations of users that training does not know, and of folds."""
    held_out = public("evaluate_held_out")(model, public("split_users")(log))
    report("evaluate held-out users", of_evaluation(held_out))
    folds = public("evaluate_folds")(model, public("split_folds")(log, n_folds=2))
    report("evaluate folds", map(of_evaluation, folds.evaluations))


def answers(name: str, world: World, recommender: Any, log: Any, report: Report) -> None:
    """Report the lists of a version."""
    users, items = spread(log.users, N_USERS), spread(log.items, N_USERS)
    lists = {user: recommender.recommend(user, k=K) for user in users}
    report(f"recommend {name}", map(of_list, lists.values()))
    asked: dict[str, Mapping[str, Any]] = {
        "all but some": {"exclude": items},
        "seen too": {"include_seen": True},
        "candidates": {"candidates": items},
        "diverse": {"diversity": 0.3},
        "where": {"where": world.where},
        "max per": {"max_per": world.max_per},
        "where, max per, diverse": {
            "where": world.where,
            "max_per": world.max_per,
            "diversity": 0.2,
        },
    }
    for what, conditions in asked.items():
        if None not in conditions.values():
            found = (recommender.recommend(user, k=K, **conditions) for user in users)
            report(f"recommend {name}, {what}", map(of_list, found))
    histories = [[item for item, _ in found][:5] for found in lists.values()]
    folded = (recommender.recommend_for_history(history, k=K) for history in histories)
    report(f"recommend {name}, folded in", map(of_list, folded))
    report(f"recommend {name}, popular", of_list(recommender.recommend(NOBODY, k=K)))
    many = recommender.recommend_many([*users, NOBODY], k=K)
    report(f"recommend {name}, many", map(of_list, many))
    closest(name, recommender, users[:N_OTHERS], items[:N_OTHERS], report)
    why = [recommender.explain(user, items[0]) for user in users[:N_OTHERS]]
    report(f"explain {name}", [[one.score, one.parts, one.rest] for one in why])


def closest(
    name: str, recommender: Any, users: list[Any], items: list[Any], report: Report
) -> None:
    """Report what is most similar, and arithmetic with vectors."""
    report(f"similar items {name}", [of_list(recommender.similar_items(item)) for item in items])
    report(f"similar users {name}", [of_list(recommender.similar_users(user)) for user in users])
    if name == "popularity":  # in one dimension there is little to do
        return
    of_users, of_items = recommender.user_vectors, recommender.item_vectors
    found: list[Any] = [of_items.nearest(of_users[user], k=5, by="dot") for user in users]
    found.append(of_items.nearest(of_items.average(items[:3]), k=5))
    direction = of_items.direction(items[:5], items[5:10])
    found.append(of_items.project(items, direction))
    report(f"vectors {name}", found)


def settings_of(name: str, folder: Path) -> Any:
    """Return the settings of a run, by a config as users write it."""
    model = {"name": name, **MODELS[name]}
    lines = [
        f"model = {toml(model)}",
        'index = { kind = "exact" }',
        "gates = { enabled = false }",
        f"evaluation = {toml({'split': 'last' if name == 'als' else 'none', 'k': K})}",
    ]
    path = folder / f"{name}.toml"
    path.write_text("\n".join(lines))
    return recsys.read_config(path)


def toml(value: Any) -> str:
    """Write a value in one line of TOML."""
    if isinstance(value, dict):
        return f"{{ {', '.join(f'{key} = {toml(part)}' for key, part in value.items())} }}"
    return json.dumps(value)


def items_of(world: World, folder: Path) -> pa.Table | None:
    """Read the table of items, with a column item_id."""
    if world.items is None:
        return None
    if world.item_id == "item_id":
        return recsys.read_items(world.items)
    table = csv.read_csv(world.items)
    names = ["item_id" if name == world.item_id else name for name in table.column_names]
    path = folder / "items.parquet"
    pq.write_table(table.rename_columns(names), path)
    return recsys.read_items(path)


def spread(ids: Any, n: int) -> list[Any]:
    """Return some ids, evenly spread over all."""
    return [ids[row] for row in np.linspace(0, len(ids) - 1, n).astype(int).tolist()]


def of_log(log: Any) -> list[Any]:
    """Return what a part of a log says."""
    return [len(log), list(ids(log.users)), list(ids(log.items)), log.user_items()]


def ids(values: Any) -> Iterable[Any]:
    """Return all ids in the order of their rows."""
    return (values[row] for row in range(len(values)))


def of_evaluation(evaluation: Any) -> list[Any]:
    """Return the numbers of an evaluation, user by user too."""
    names = ("metrics", "intervals", "left_out", "per_user", "n_users", "n_items", "user_idx")
    return [getattr(evaluation, name) for name in names]


def of_list(found: Any) -> list[Any]:
    """Return the source of a list, its ids and its scores."""
    return [found.source, [(item_id, score) for item_id, score in found]]


def files_of(store: Path, name: str) -> dict[str, bytes]:
    """Return the files of a version but its manifest."""
    folder = store / "versions" / name
    files = json.loads((folder / "manifest.json").read_text())["files"]
    return {file: (folder / file).read_bytes() for file in files}


def manifest_of(store: Path, name: str) -> dict[str, Any]:
    """Return what a manifest says apart from when and where, and how fast the index was."""
    manifest = json.loads((store / "versions" / name / "manifest.json").read_text())
    apart = ("version", "created", "parent", "index", "config", "environment", "files", "checks")
    alignment = {
        key: value for key, value in manifest["alignment"].items() if value != manifest["parent"]
    }
    kept = {key: value for key, value in manifest.items() if key not in apart}
    return kept | {"alignment": alignment, "keys": sorted(manifest), "manifest_sha256": None}


def checksum(value: Any) -> str:
    """Return the sha256 of a value: of every bit of its numbers, not of how they are printed."""
    digest = sha256()
    _add(digest.update, value)
    return digest.hexdigest()


def _add(update: Callable[[bytes], None], value: Any) -> None:
    """Add a value to a checksum, its type and its size first, so that no two look alike."""
    if isinstance(value, np.generic):
        value = value.item()
    if isinstance(value, sp.sparray):
        value = [value.shape, value.indptr, value.indices, value.data]
    if isinstance(value, np.ndarray):
        update(f"array {value.dtype.str} {value.shape}".encode())
        update(np.ascontiguousarray(value).tobytes())
    elif isinstance(value, bytes):
        update(f"bytes {len(value)} ".encode() + value)
    elif value is None or isinstance(value, str | int | float):
        update(f"{type(value).__name__} {value!r}\n".encode())  # repr gives each float its own text
    elif isinstance(value, Mapping):
        update(f"mapping {len(value)}".encode())
        for key in sorted(value):
            _add(update, key)
            _add(update, value[key])
    else:
        parts = list(value)
        update(f"list {len(parts)}".encode())
        for part in parts:
            _add(update, part)


def run(chosen: Sequence[World]) -> Steps:
    """Print a line for each step of each log that is there."""
    steps: Steps = {}
    for world in chosen:
        if world.why_not:
            print(f"{world.name}: skipped, as {world.why_not}", file=sys.stderr)
            continue
        start = perf_counter()

        def report(step: str, result: Any, name: str = world.name) -> None:
            steps[Step(name, step)] = found = checksum(result)
            print(json.dumps({"log": name, "step": step, "sha256": found}), flush=True)

        with tempfile.TemporaryDirectory() as folder:
            results(world, Path(folder), report)
        print(f"{world.name}: {perf_counter() - start:.0f} s", file=sys.stderr)
    return steps


def read(path: Path) -> Steps:
    """Read an earlier output."""
    lines = [json.loads(line) for line in path.read_text().splitlines()]
    return {Step(line["log"], line["step"]): line["sha256"] for line in lines}


def differences(before: Steps, now: Steps) -> list[str]:
    """Say which steps of the logs that were run now are not the same; none where all are."""
    logs = {step.log for step in now}
    expected = {step: found for step, found in before.items() if step.log in logs}
    found = []
    for step in [*expected, *(step for step in now if step not in expected)]:
        if step not in now:
            found.append(f"{step.log}: {step.step}: only before")
        elif step not in expected:
            found.append(f"{step.log}: {step.step}: only now")
        elif expected[step] != now[step]:
            found.append(f"{step.log}: {step.step}: differs")
    return found


def compared(before: Steps, now: Steps) -> int:
    """Print on stderr what differs, and what was not compared; return the exit code."""
    for name in sorted({step.log for step in before} - {step.log for step in now}):
        print(f"{name}: not compared", file=sys.stderr)
    if not now:
        print("nothing was compared", file=sys.stderr)
        return 1
    found = differences(before, now)
    print("\n".join(found) or f"all {len(now)} steps are the same", file=sys.stderr)
    return 1 if found else 0


def main() -> None:
    """Run what the command line asks for."""
    known = worlds()
    names = [world.name for world in known]
    parser = argparse.ArgumentParser(description="One checksum per step, of three logs.")
    parser.add_argument("--logs", nargs="+", choices=names, default=names)
    parser.add_argument("--against", type=Path, help="an earlier output; exit 1 where steps differ")
    arguments = parser.parse_args()
    before = None if arguments.against is None else read(arguments.against)
    print(f"of {Path(recsys.__file__).parent}", file=sys.stderr)
    now = run([world for world in known if world.name in arguments.logs])
    if before is not None:
        sys.exit(compared(before, now))


if __name__ == "__main__":
    main()
