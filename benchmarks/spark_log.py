"""Compare reading a log on Spark with `read_log`, each from files to weighted pairs.

    python -m benchmarks.spark_log --rows 20000000               # Parquet
    python -m benchmarks.spark_log --rows 20000000 --format csv

Both in fresh processes, Spark on `local[2]` and started before the clock. The log has string ids,
types of events with weights, and times; a half-life makes all of them matter.
"""

import argparse
import json
import resource
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import duckdb

from benchmarks.make_log import write_log
from recsys.config import Settings
from recsys.logs import LogSettings, read_log
from recsys.settings import DataSettings, SparkSettings

SETTINGS = LogSettings(
    events={"view": 1.0, "cart": 3.0, "purchase": 5.0}, half_life_days=90.0, memory_limit="2GB"
)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("--rows", type=int, default=20_000_000, help="length of the log")
    parser.add_argument("--format", choices=["parquet", "csv"], default="parquet")
    parser.add_argument("--reader", choices=["local", "spark"], help=argparse.SUPPRESS)
    parser.add_argument("--log", type=Path, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.reader:
        reader = _on_spark if arguments.reader == "spark" else _locally
        print(json.dumps(reader(str(arguments.log))))
        return
    with tempfile.TemporaryDirectory() as folder:
        log = Path(folder) / "log.parquet"
        users, items = max(arguments.rows // 20, 1), max(arguments.rows // 100, 1)
        write_log(log, rows=arguments.rows, users=users, items=items)
        if arguments.format == "csv":
            duckdb.sql(f"COPY '{log}' TO '{log.with_suffix('.csv')}'")
            log = log.with_suffix(".csv")
        print(
            f"{'reader':<8}{'rows':>12}{'pairs':>12}{'seconds':>10}{'rows/s':>12}{'driver MB':>11}"
        )
        for name in ("local", "spark"):
            command = [sys.executable, "-m", "benchmarks.spark_log", "--reader", name]
            command += ["--log", str(log)]
            done = subprocess.run(command, check=True, stdout=subprocess.PIPE, text=True)
            rows, pairs, seconds, peak = json.loads(done.stdout.splitlines()[-1])
            print(
                f"{name:<8}{rows:>12,}{pairs:>12,}{seconds:>10.1f}{rows / seconds:>12,.0f}"
                f"{peak:>11,.0f}"
            )


def _locally(log: str) -> tuple[int, int, float, float]:
    start = time.perf_counter()
    found = read_log(log, SETTINGS)
    pairs = found.user_items().nnz
    return found.row_counts.rows_read, int(pairs), time.perf_counter() - start, _peak()


def _on_spark(log: str) -> tuple[int, int, float, float]:
    from recsys.spark import read, spark_session

    conf = {"spark.driver.memory": "4g", "spark.sql.shuffle.partitions": "16"}
    spark = spark_session(SparkSettings("local[2]", conf=conf))
    spark.range(1).count()
    start = time.perf_counter()
    found = read(Settings(data=DataSettings(log=[log]), log=SETTINGS), spark)
    pairs = found.pairs.count()
    seconds = time.perf_counter() - start
    spark.stop()
    return found.row_counts.rows_read, pairs, seconds, _peak()


def _peak() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1e3


if __name__ == "__main__":
    main()
