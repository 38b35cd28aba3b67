"""A Spark session by the settings, and what is missing where there is none."""

from __future__ import annotations

import os
import shutil
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from recsys.base.errors import ConfigError
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
