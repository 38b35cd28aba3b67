"""The settings of a run on Spark; the [spark] table."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Literal

from recsys.base.checks import ShowsChanges, require_a, require_types
from recsys.base.errors import ConfigError

Engine = Literal["local", "spark"]
"""Where a version is made: in this process, or in the executors of Spark."""


@dataclass(frozen=True, repr=False)
class SparkSettings(ShowsChanges):
    """Where Spark runs and what it keeps; the ``[spark]`` table, for ``engine = "spark"``.

    Paths are like those of `DataSettings`.
    """

    master: str = "local[*]"
    """Where Spark runs: "local[4]" is four cores of this machine, "spark://host:7077" a cluster. A
    session that is there already, as in a notebook or under spark-submit, is taken as it is."""
    checkpoint: str | None = None
    """A folder that all machines of the cluster see, for what a run keeps on its way. Default: one
    of this machine that goes with the run, which "local" masters alone can use."""
    conf: Mapping[str, str] = field(default_factory=dict)
    """Further keys of Spark, such as { "spark.executor.memory" = "8g" }."""

    def __post_init__(self) -> None:
        require_types("spark", self)
        if not self.master:
            raise ConfigError("spark.master: expected a text such as local[4], got ''")
        require_a(
            "spark.conf", self.conf, Mapping, 'keys of Spark, { "spark.ui.enabled" = "true" }'
        )
