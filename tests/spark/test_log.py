"""A log on Spark is the log on one machine: counts, rejects, rows, weights, order."""

import pickle
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.errors import ConfigError, DataError
from recsys.logs import LogSettings, RowCounts
from recsys.logs.session import open_session
from recsys.logs.sources import LogFile, files_and_tables
from recsys.spark.log import staged_log
from recsys.spark.parts import parts_of
from tests.logs.cases import CASES, Case
from tests.spark.logs import LATER, NOON, read_locally, read_on_spark, require_same, without_place

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

DAY = 86_400
SOME = 400  # bytes of a part: of logs of a few thousand, several parts


def outcome_of(work: Any) -> str | RowCounts:
    """What reading ends with: an error, or counts."""
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        try:
            counts: RowCounts = work()
        except (DataError, ConfigError) as error:
            return str(error)
    return without_place(counts)


def rejected_rows(path: Path) -> list[Any]:
    return pq.read_table(path).to_pylist() if path.exists() else []


class HereAlone:
    """Takes the place of a session: tasks run here, and what they take and return is pickled."""

    def __init__(self, results: Any = ()) -> None:
        self.sparkContext, self._results = self, results

    def parallelize(self, parts: Any, n_tasks: int) -> "HereAlone":
        assert len(parts) == n_tasks
        return HereAlone(parts)

    def mapPartitions(self, task: Any) -> "HereAlone":  # noqa: N802
        sent, parts = pickle.loads(pickle.dumps((task, self._results)))  # noqa: S301
        return HereAlone([one for part in parts for one in sent(iter([part]))])

    def collect(self) -> Any:
        return pickle.loads(pickle.dumps(self._results))  # noqa: S301


IN_EXECUTORS = ("every reason in JSON", "too many in one of many files", "a damaged file")
READ_WHOLE = "dates taken for seconds"  # is found when all times are known


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_every_case_ends_as_on_one_machine(
    spark: "SparkSession", tmp_path: Path, monkeypatch: pytest.MonkeyPatch, case: Case
) -> None:
    monkeypatch.setattr("recsys.spark.parts.BLOCK_BYTES", 100)  # where quotes are looked for
    folder = str(case.write(tmp_path / "log"))
    settings, ours, theirs = LogSettings(**case.settings), tmp_path / "1", tmp_path / "2"

    def on_spark() -> RowCounts:
        if case.name == READ_WHOLE:
            return read_on_spark(spark, [folder], settings, tmp_path / "work").row_counts
        files = [f for f in files_and_tables(folder).parts if isinstance(f, LogFile)]
        with open_session("1GB", LATER) as session:
            parts = parts_of(files, settings, SOME)
            runs: Any = spark if case.name in IN_EXECUTORS else HereAlone()
            staged = staged_log(runs, session, parts, settings, tmp_path / "work")
            return staged.count(settings.max_rejected_share, ours)

    found = outcome_of(on_spark)
    expected = outcome_of(lambda: read_locally([folder], settings, rejects=theirs).row_counts)
    if isinstance(expected, str):
        assert str(found).replace(str(ours), str(theirs)) == expected
    else:
        assert isinstance(found, RowCounts)
        assert found.rejected == expected.rejected
        assert found.left_out == expected.left_out
        assert found.events == expected.events
        assert found.files == expected.files
    assert rejected_rows(ours) == rejected_rows(theirs)


def events(n: int, seed: int) -> pa.Table:
    random = np.random.default_rng(seed)
    return pa.table(
        {
            "user_id": [f"u{one}" for one in random.integers(40, size=n)],
            "item_id": random.integers(30, size=n),
            "event": random.choice(["view", "buy", "look"], size=n),
            "value": random.lognormal(0, 2, size=n).astype(np.float32),
            "timestamp": NOON - random.integers(90 * DAY, size=n),
        }
    )


WEIGHED: list[dict[str, Any]] = [
    {"half_life_days": 20.0, "events": {"view": 1.0, "buy": 3.0, "*": 0.0}},
    {"duplicates": "last", "min_user_items": 20, "min_item_users": 22, "k_core": True},
]


@pytest.mark.parametrize("settings", WEIGHED, ids=lambda one: next(iter(one)))
def test_weights_and_rows_are_those_of_one_machine(
    spark: "SparkSession",
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    settings: dict[str, Any],
) -> None:
    monkeypatch.setattr("recsys.spark.parts.PART_BYTES", 10_000)
    log = [str(tmp_path / f"{n}.parquet") for n in range(2)]
    for seed, path in enumerate(log):
        pq.write_table(events(1_500, seed), path, row_group_size=400)
    how = LogSettings(**settings)
    found = read_on_spark(spark, log, how, tmp_path / "work")
    require_same(found, read_locally(log, how), how.popular_half_life_days)


def test_ids_and_times_that_text_leaves_open(spark: "SparkSession", tmp_path: Path) -> None:
    """Users spell integers in two forms, and are numbers in one file; items are strings."""
    numbers = np.random.default_rng(3).integers(90, size=(400, 2)).tolist()
    rows = [f"{user}{'.0' if user % 3 == 0 else ''},{item}" for user, item in numbers]
    (tmp_path / "0.csv").write_text("\n".join(["user_id,item_id", *rows, "7, x\n"]))
    table = pa.table({"user_id": [7, 8, 1_000], "item_id": ["5", "5.0", "x"]})
    pq.write_table(table, tmp_path / "1.parquet")
    log, how = [str(tmp_path / "0.csv"), str(tmp_path / "1.parquet")], LogSettings()
    with pytest.warns(RuntimeWarning, match="are two items; write ids alike") as said:
        found = read_on_spark(spark, log, how, tmp_path / "work")
    with pytest.warns(RuntimeWarning, match="are two items; write ids alike") as expected:
        local = read_locally(log, how)
    assert [str(one.message) for one in said] == [str(one.message) for one in expected]
    assert local.users.are_integers
    require_same(found, local, how.popular_half_life_days)
