"""A standalone cluster of Spark on this machine, and work that kills the worker that it runs on."""

import os
import re
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

import pyspark

from recsys.base.threads import Threads
from recsys.spark.half_sweep import Found, Solve

ROOT = Path(__file__).parents[2]
_STARTED = re.compile(r"Starting Spark master at (spark://\S+)")
_JOINED = re.compile(r"Successfully registered with master")


@dataclass(frozen=True)
class Cluster:
    """A master and its workers, of one core each."""

    url: str
    workers: list["subprocess.Popen[bytes]"]


@contextmanager
def cluster(folder: Path, n_workers: int = 2) -> Iterator[Cluster]:
    """Start a master and workers; end them."""
    started: list[subprocess.Popen[bytes]] = []
    try:
        master = _start(folder / "master.log", "master.Master", "--port", "0", "--webui-port", "0")
        started.append(master)
        url = _waited_for(folder / "master.log", _STARTED)
        for number in range(n_workers):
            log, work = folder / f"worker-{number}.log", str(folder / f"work-{number}")
            own = ("--cores", "1", "--memory", "600m", "--work-dir", work, "--webui-port", "0")
            started.append(_start(log, "worker.Worker", *own, url))
        for number in range(n_workers):
            _waited_for(folder / f"worker-{number}.log", _JOINED)
        yield Cluster(url, started[1:])
    finally:
        for process in started:
            process.kill()
        for process in started:
            process.wait()


def _start(log: Path, name: str, *arguments: str) -> "subprocess.Popen[bytes]":
    java = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC -Xshare:auto"
    environment = {
        **os.environ,
        "SPARK_LOCAL_IP": "127.0.0.1",
        "SPARK_DAEMON_MEMORY": "256m",
        "SPARK_DAEMON_JAVA_OPTS": java,
        "SPARK_HOME": str(Path(pyspark.__file__).parent),
    }
    with log.open("wb") as out:
        return subprocess.Popen(
            [
                str(Path(pyspark.__file__).parent / "bin" / "spark-class"),
                f"org.apache.spark.deploy.{name}",
                "--host",
                "127.0.0.1",
                *arguments,
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            env=environment,
        )


def _waited_for(log: Path, pattern: re.Pattern[str], seconds: float = 300) -> str:
    """Return what a line of a log says, when it is there."""
    until = time.monotonic() + seconds
    while time.monotonic() < until:
        found = pattern.search(log.read_text(errors="replace"))
        if found is not None:
            return found[found.lastindex or 0]
        time.sleep(0.1)
    raise AssertionError(log.read_text(errors="replace"))


@dataclass(frozen=True, eq=False)
class Deadly:
    """A half-sweep; the first task that solves its last block kills its worker by SIGKILL."""

    work: Solve
    block: int
    mark: str  # is made by who kills, so that nobody does it again

    wants_gram = False

    def __call__(self, block: int, pool: Threads) -> Found:
        found = self.work(block, pool)
        if block == self.block:
            with suppress(FileExistsError):
                Path(self.mark).touch(exist_ok=False)
                for process in _ancestors(os.getppid()):
                    os.kill(process, signal.SIGKILL)
                os.kill(os.getpid(), signal.SIGKILL)
        return found


def _ancestors(process: int) -> list[int]:
    """Return the daemon of Python, its executor and that one's worker, the worker first."""
    found = [process]
    for _ in range(2):
        status = Path(f"/proc/{found[0]}/stat").read_text()
        found.insert(0, int(status.rpartition(")")[2].split()[1]))
    return found


def main() -> None:
    """Fit a world on the cluster that is named, and lose a worker in the second epoch."""
    import numpy as np

    import recsys.spark.als as spark_als
    from recsys.models import ALS
    from recsys.settings import SparkSettings
    from recsys.spark.session import spark_session
    from tests.spark.worlds import spark_log
    from tests.worlds import random_user_items

    url, folder, broadcast_bytes = sys.argv[1], Path(sys.argv[2]), int(sys.argv[3])
    java = "-XX:TieredStopAtLevel=1 -XX:+UseSerialGC"
    conf = {
        "spark.ui.enabled": "false",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.memory": "512m",
        "spark.driver.extraJavaOptions": java,
        "spark.executor.memory": "512m",
        "spark.executor.extraJavaOptions": java,
        "spark.executorEnv.PYTHONPATH": str(ROOT),
        "spark.default.parallelism": "2",
        "spark.sql.shuffle.partitions": "2",
        "spark.local.dir": str(folder),
        "spark.scheduler.minRegisteredResourcesRatio": "1.0",  # both workers take part
        "spark.cores.max": "2",
    }
    spark = spark_session(SparkSettings(master=url, conf=conf))
    run, n_runs = spark_als.run, [0]

    def run_and_kill(session, cut, work):  # type: ignore[no-untyped-def]
        n_runs[0] += 1
        if n_runs[0] == _DEADLY_RUN:
            work = Deadly(work, len(cut) - 1, str(folder / "killed"))
        return run(session, cut, work)

    spark_als.run = run_and_kill
    log = spark_log(spark, random_user_items(*WORLD))
    als = ALS(factors=8, iterations=2)
    found = spark_als.fit(als, log, folder / "fit", spark=spark, broadcast_bytes=broadcast_bytes)
    embeddings = found.embeddings()
    np.savez(folder / "found.npz", users=embeddings.users, items=embeddings.items)
    spark.stop()


WORLD = (60, 40, 0.15)
_DEADLY_RUN = 3  # the users of the second epoch

if __name__ == "__main__":
    main()
