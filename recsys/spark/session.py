"""A Spark session by the settings, and what is missing where there is none."""

from __future__ import annotations

import atexit
import os
import re
import shutil
import sys
import tempfile
import warnings
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.errors import ConfigError, DataError
from recsys.settings import SparkSettings

if TYPE_CHECKING:
    from pyspark.sql import SparkSession

_LOWEST = (4, 0)  # of pyspark
_SET = {
    "spark.sql.session.timeZone": "UTC",
    "spark.sql.execution.arrow.pyspark.enabled": "true",
    "spark.ui.showConsoleProgress": "false",
    "spark.log.level": "ERROR",
}
_SET_LOCALLY = {"spark.driver.host": "127.0.0.1", "spark.driver.bindAddress": "127.0.0.1"}
"""Both unless ``spark.conf`` says otherwise."""
_REASON = re.compile(
    r"(?!py4j\.|org\.apache\.spark\.SparkException: Job aborted)[\w.]+(Error|Exception): "
)


def spark_session(settings: SparkSettings | None = None) -> SparkSession:
    """Return the session that is there, or one that is started by the settings.

    Raises
    ------
    ConfigError
        If pyspark or Java is missing, or the master cannot be reached.
    """
    settings = settings or SparkSettings()
    session = _require_pyspark()
    found: SparkSession | None = session.getActiveSession()
    return _started(settings) if found is None else found


def _require_pyspark() -> type[SparkSession]:
    try:
        import pyspark
        from pyspark.sql import SparkSession
    except ImportError as error:
        raise ConfigError(
            'engine: expected pyspark for engine = "spark", and it is not installed; install the '
            'extra: pip install "recsys-engine[spark]", or set engine = "local" (--engine local)'
        ) from error
    version = tuple(map(int, pyspark.__version__.split(".")[:2]))
    if version < _LOWEST:
        raise ConfigError(
            f"engine: expected pyspark {'.'.join(map(str, _LOWEST))} or newer, got "
            f'{pyspark.__version__}; pip install -U "recsys-engine[spark]"'
        )
    return SparkSession


def _started(settings: SparkSettings) -> SparkSession:
    from pyspark.errors import PySparkRuntimeError
    from pyspark.sql import SparkSession

    require_java(os.environ)
    warnings.filterwarnings("ignore", "PySpark does not yet fully support pandas")  # unused here
    # Executors run the Python of this process, unless it is said which.
    os.environ.setdefault("PYSPARK_PYTHON", sys.executable)
    builder = SparkSession.builder.master(settings.master).appName("recsys")
    of_machine = _SET_LOCALLY if settings.master.startswith("local") else {}
    for key, value in {**_SET, **of_machine, **settings.conf}.items():
        builder = builder.config(key, value)
    try:
        return builder.getOrCreate()
    except PySparkRuntimeError as error:
        raise ConfigError(
            f"spark.master: Spark did not start at {settings.master!r}: "
            f"{str(error).splitlines()[0]}; its own lines above say why"
        ) from error


def work_folder(
    settings: SparkSettings, spark: SparkSession, folder: str | Path | None = None
) -> Path:
    """Return a folder for what a run keeps on its way, which all machines see.

    That which is given, ``spark.checkpoint``, or with executors on this machine a temporary one.
    """
    named = folder or settings.checkpoint
    if named is not None:
        return Path(named)
    master = str(spark.sparkContext.master)
    if not master.startswith("local"):
        raise ConfigError(
            f"spark.checkpoint: expected a folder that all machines of {master} see, got none; "
            "name one: checkpoint in [spark]"
        )
    made = Path(tempfile.mkdtemp(prefix="recsys-spark-"))
    atexit.register(shutil.rmtree, made, ignore_errors=True)
    return made


@contextmanager
def explaining(what: str) -> Iterator[None]:
    """Turn an error of Spark into a DataError; `what` is what it was asked for."""
    from py4j.protocol import Py4JJavaError
    from pyspark.errors import PySparkException

    try:
        yield
    except (Py4JJavaError, PySparkException) as error:
        said = str(error)
        if "No module named 'recsys'" in said:
            raise ConfigError(
                f"spark: {what}: the executors have no recsys; install it for the Python of each "
                "(PYSPARK_PYTHON)"
            ) from error
        lines = [line.strip() for line in said.splitlines() if line.strip()]
        reason = next((one for one in lines if _REASON.match(one)), lines[0] if lines else "")
        raise DataError(f"spark: {what}: {reason[:300]}") from error


def require_java(environment: Mapping[str, str]) -> None:
    """Raise a ConfigError where Spark would find no Java to run."""
    home = environment.get("JAVA_HOME")
    if home and (Path(home) / "bin" / "java").is_file():
        return
    if not home and shutil.which("java", path=environment.get("PATH")) is not None:
        return
    got = f"JAVA_HOME = {home}, where there is no bin/java" if home else "none on the PATH"
    raise ConfigError(
        f'engine: expected Java 17 or newer for engine = "spark", got {got}; install it, on Debian '
        'and Ubuntu: apt-get install openjdk-17-jre-headless, or set engine = "local" '
        "(--engine local)"
    )
