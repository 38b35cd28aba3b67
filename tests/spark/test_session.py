"""A session: what is missing is said, and what to install."""

import sys
from pathlib import Path

import pytest

from recsys.errors import ConfigError
from recsys.settings import SparkSettings
from recsys.spark.session import require_java, spark_session


def test_without_java_the_package_is_named(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match=r"Java 17 .* got none on the PATH; .*apt-get install"):
        require_java({"PATH": str(tmp_path)})
    with pytest.raises(ConfigError, match="JAVA_HOME = .*, where there is no bin/java"):
        require_java({"PATH": str(tmp_path), "JAVA_HOME": str(tmp_path)})
    java = tmp_path / "bin" / "java"
    java.parent.mkdir()
    java.touch(mode=0o755)
    require_java({"JAVA_HOME": str(tmp_path)})
    require_java({"PATH": str(java.parent)})


def test_without_pyspark_the_extra_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyspark", None)
    with pytest.raises(ConfigError, match=r"pip install \"recsys-engine\[spark\]\", or set engine"):
        spark_session(SparkSettings())
