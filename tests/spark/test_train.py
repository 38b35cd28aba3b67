"""A version that Spark makes is the one that one machine makes; so are its lists for everybody."""

from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pyarrow.parquet as pq
import pytest
from typer.testing import CliRunner

import recsys
from recsys.base.errors import ConfigError
from recsys.cli import app
from recsys.config import Settings, settings_from
from recsys.models import ALS, SVD
from recsys.spark.lists import write_lists
from recsys.spark.train import train
from tests.spark.worlds import spark_log
from tests.worlds import as_interactions, random_user_items

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

pytestmark = pytest.mark.filterwarnings("ignore:PySpark does not yet fully support pandas")
WORLD = random_user_items(60, 40, 0.15)
SETTINGS = settings_from(
    {"evaluation": {"split": "none"}, "index": {"kind": "exact"}, "gates": {"enabled": False}}
)


def settings(als: ALS) -> Settings:
    return replace(SETTINGS, model=als)


def test_versions_and_lists_are_those_of_one_machine(spark: "SparkSession", tmp_path: Path) -> None:
    first, second = ALS(factors=8, iterations=1), ALS(factors=8, iterations=2)
    log, checkpoint = spark_log(spark, WORLD), tmp_path / "shared"
    for als in (first, second):
        on_spark = replace(settings(als), spark=replace(SETTINGS.spark, checkpoint=str(checkpoint)))
        train(on_spark, tmp_path / "spark", spark=spark, log=log)
        recsys.train(as_interactions(WORLD), tmp_path / "local", settings=settings(als))
    ours, theirs = recsys.open(tmp_path / "spark"), recsys.open(tmp_path / "local")
    assert ours.user_vectors.ids == theirs.user_vectors.ids
    np.testing.assert_allclose(ours.user_vectors.matrix, theirs.user_vectors.matrix, atol=1e-5)
    np.testing.assert_allclose(ours.item_vectors.matrix, theirs.item_vectors.matrix, atol=1e-5)
    manifest = recsys.versions(tmp_path / "spark")[0].manifest
    assert manifest.alignment["space"] == "kept"
    expected = recsys.versions(tmp_path / "local")[0].manifest
    assert manifest.model == expected.model
    assert manifest.model.unit == pytest.approx(expected.model.unit)
    assert not (checkpoint / "fit").exists()

    written = write_lists(spark, tmp_path / "spark", tmp_path / "lists", k=5, memory_bytes=1 << 20)
    again = recsys.write_batch(ours, tmp_path / "again", k=5, memory_bytes=1 << 20)
    for path in again.iterdir():
        assert (written / path.name).read_bytes() == path.read_bytes()
    assert pq.read_table(written / "part-000000.parquet").num_rows == 60 * 5


def test_what_is_written_stays(spark: "SparkSession", tmp_path: Path) -> None:
    recsys.train(as_interactions(random_user_items(4000, 30, 0.1)), tmp_path / "store",
                 settings=settings(ALS(factors=8, iterations=1)))  # fmt: skip
    folder = write_lists(spark, tmp_path / "store", tmp_path / "lists", 5, memory_bytes=1 << 20)
    parts = sorted(folder.glob("part-*.parquet"))
    assert len(parts) == 4
    times = {path.name: path.stat().st_mtime_ns for path in parts}
    parts[1].unlink()
    write_lists(spark, tmp_path / "store", folder, 5, memory_bytes=1 << 20)
    after = {path.name: path.stat().st_mtime_ns for path in folder.glob("part-*.parquet")}
    assert [name for name in times if after[name] != times[name]] == [parts[1].name]


def test_another_model_is_refused(spark: "SparkSession", tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r'model\.name: expected "als" for engine = "spark"'):
        train(replace(SETTINGS, model=SVD(8)), tmp_path, spark=spark)


@pytest.mark.parametrize("table", ["items", "users"])
def test_a_table_that_is_not_there_is_said_before_spark_starts(
    table: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def started(*_: object) -> None:
        raise AssertionError("Spark was started")

    monkeypatch.setattr("recsys.spark.train.spark_session", started)
    of_table = replace(SETTINGS.data, **{table: str(tmp_path / "no.csv")})
    with pytest.raises(recsys.DataError, match=r"no\.csv"):
        train(replace(settings(ALS(8)), data=of_table), tmp_path / "store")


def test_the_command_trains_on_spark(spark: "SparkSession", tmp_path: Path) -> None:
    rows = "".join(f"u{n % 12},i{n % 7},{1_700_000_000 + 3600 * n}\n" for n in range(120))
    log, store = tmp_path / "log.csv", tmp_path / "store"
    log.write_text(f"user_id,item_id,timestamp\n{rows}")
    typed = f"train {log} --store {store} --engine spark --model als --factors 4 --split none"
    checkpoint = f"spark.checkpoint={tmp_path / 'shared'}"
    more = [word for one in ("index.kind=exact", checkpoint) for word in ("--set", one)]
    done = CliRunner().invoke(app, [*typed.split(), *more])
    assert done.exit_code == 0, done.output
    data = recsys.versions(store)[0].manifest.data
    assert (data["events"], data["users"], data["items"]) == (120, 12, 7)
    assert sum(data["days"].values()) == 120
