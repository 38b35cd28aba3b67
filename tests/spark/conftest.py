"""One Spark session for all tests of this room."""

import os
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from recsys.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="session")
def spark(tmp_path_factory: pytest.TempPathFactory) -> "Iterator[SparkSession]":
    """A session of two cores, whose executors import what the tests do."""
    pytest.importorskip("pyspark", reason="make install brings pyspark")
    from recsys.spark.session import spark_session

    path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
    scratch = str(tmp_path_factory.mktemp("spark"))
    conf = {
        "spark.ui.enabled": "false",
        "spark.sql.shuffle.partitions": "2",
        "spark.default.parallelism": "2",
        "spark.local.dir": scratch,
        "spark.sql.warehouse.dir": scratch,
        "spark.executorEnv.PYTHONPATH": path,
        "spark.driver.memory": "1g",
        # Queries of few rows: what each is made of is interpreted, not compiled for it, and what
        # Java compiles it compiles once, soon.
        "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC",
        "spark.sql.codegen.wholeStage": "false",
        "spark.sql.codegen.factoryMode": "NO_CODEGEN",
        "spark.sql.adaptive.enabled": "false",
    }
    os.environ["PYTHONPATH"] = path  # local executors are children of the driver
    os.environ["PYSPARK_PYTHON"] = sys.executable
    session = spark_session(SparkSettings(master="local[2]", conf=conf))
    yield session
    session.stop()
