"""One TOML file to typed, validated settings; an unknown key is an error.

::

    [data]        where the log is, and what goes with it
    [log]         how the log is read                   -> recsys.logs.LogSettings
    [model]       name, and its hyperparameters         -> recsys.models
    [evaluation]  how the model is tested
    [alignment]   whether a version keeps the coordinates of the one before it
                                                        -> recsys.store.AlignmentSettings
    [index]       how candidates are found              -> recsys.index.IndexSettings
    [gates]       what can refuse a version             -> recsys.monitoring.GateSettings
    [tune]        how hyperparameters are found         -> recsys.tuning.settings
    [compare]     which models are compared             -> recsys.tuning.settings
    [nightly]     what a night writes, keeps and tells  -> recsys.nightly
"""

import os
import re
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, is_dataclass
from pathlib import Path
from typing import Any, Literal, TypeVar, get_args, get_type_hints

from recsys.base.errors import ConfigError, did_you_mean
from recsys.index import IndexSettings
from recsys.logs import ItemSettings, LogSettings
from recsys.models import ALS, MODELS, Model
from recsys.monitoring import GateSettings
from recsys.splits import SplitSettings
from recsys.store import AlignmentSettings
from recsys.tuning.settings import CompareSettings, TuneSettings

T = TypeVar("T")
LogLevel = Literal["debug", "info", "warning", "error"]
_PATHS = {
    "data": ("log", "test", "items"),
    "nightly": ("store", "log_file", "metrics_file"),
}


@dataclass(frozen=True)
class DataSettings:
    """Where the log is and what goes with it; the ``[data]`` table.

    Paths may hold environment variables (``$RECSYS_DATA/ratings.csv.gz``) and are otherwise
    relative to the file of the config.

    Parameters
    ----------
    log : str or list of str, optional
        Files, globs or folders of the log.
    test : str or list of str, optional
        The test part of a log that comes split, read by the same ``[log]`` settings.
    items : str, optional
        A table of item attributes (Parquet, CSV or JSON lines): titles, categories.
    item_columns : mapping of str to str
        Our name to the table's name. Must map item_id where the table spells it differently;
        where anything else is mapped, only mapped columns are kept.
    """

    log: str | Sequence[str] = ()
    test: str | Sequence[str] = ()
    items: str | None = None
    item_columns: Mapping[str, str] = field(default_factory=dict)

    @property
    def item_settings(self) -> ItemSettings:
        """How the table of items is read."""
        return ItemSettings(columns=self.item_columns)


@dataclass(frozen=True)
class EvaluationSettings(SplitSettings):
    """How the model is tested before it is published; the ``[evaluation]`` table.

    Parameters
    ----------
    split, test_fraction, last, seed, validation
        How the log is cut into parts, see `recsys.logs.SplitSettings`.
    k : int
        Length of the lists that the metrics look at.
    """

    k: int = 20

    def __post_init__(self) -> None:
        super().__post_init__()
        if self.k < 1:
            raise ConfigError(f"evaluation.k: expected 1 or more, got {self.k}")


@dataclass(frozen=True)
class NightlySettings:
    """What a night writes, keeps and tells; the ``[nightly]`` table.

    Paths are like those of `DataSettings`.

    Parameters
    ----------
    store : str, optional
        Default: $RECSYS_STORE, else ./store.
    warm_start : bool
        Begin ALS at the embeddings of the current version.
    warm_iterations : int, optional
        Epochs after a warm start. Default: as many as from a random start.
    keep : int
        The newest versions that are kept.
    keep_runs : int
        The newest runs whose report is kept.
    log_file : str, optional
        Where the JSON lines go. Default: stderr, unless that is a terminal.
    log_level : {"debug", "info", "warning", "error"}
        The least that is logged.
    metrics_file : str, optional
        Prometheus textfile, such as node_exporter reads.
    mlflow : str, optional
        Tracking URI of an MLflow server, or a folder as ``file:...``.
    mlflow_experiment : str
    """

    store: str | None = None
    warm_start: bool = True
    warm_iterations: int | None = None
    keep: int = 7
    keep_runs: int = 14
    log_file: str | None = None
    log_level: LogLevel = "info"
    metrics_file: str | None = None
    mlflow: str | None = None
    mlflow_experiment: str = "recsys"

    def __post_init__(self) -> None:
        for name in ("warm_iterations", "keep", "keep_runs"):
            if (number := getattr(self, name)) is not None and number < 1:
                raise ConfigError(f"nightly.{name}: expected 1 or more, got {number}")
        if self.log_level not in get_args(LogLevel):
            raise ConfigError(
                f"nightly.log_level: expected one of {', '.join(get_args(LogLevel))}, "
                f"got {self.log_level!r}"
            )


@dataclass(frozen=True)
class Settings:
    """Everything that a config file can say, typed and checked."""

    data: DataSettings = field(default_factory=DataSettings)
    log: LogSettings = field(default_factory=LogSettings)
    model: Model = field(default_factory=ALS)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    gates: GateSettings = field(default_factory=GateSettings)
    tune: TuneSettings = field(default_factory=TuneSettings)
    compare: CompareSettings = field(default_factory=CompareSettings)
    nightly: NightlySettings = field(default_factory=NightlySettings)


def read_config(path: str | Path) -> Settings:
    """Read settings from a TOML file.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML, or a key is unknown, of the wrong type or out of range.
    """
    path = Path(path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"config: expected a TOML file at {path}, got {error.strerror or error}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path}: not a TOML file: {error}") from error
    try:
        return settings_from(tables, folder=path.parent)
    except ConfigError as error:
        raise ConfigError(f"config {path}: {error}") from error


def settings_from(tables: Mapping[str, Any], folder: str | Path = ".") -> Settings:
    """Return settings from the tables of a config.

    Parameters
    ----------
    tables : mapping
        As parsed from TOML.
    folder : path
        What relative paths are relative to.

    Raises
    ------
    ConfigError
        If a key is unknown, of the wrong type or out of range.

    Examples
    --------
    >>> settings_from({"model": {"name": "svd", "factors": 32}}).model.factors
    32
    """
    _refuse_unknown(tables, [table.name for table in fields(Settings)], "")
    for name, table in tables.items():
        if not isinstance(table, Mapping):
            raise ConfigError(f"{name}: expected a table [{name}], got {table!r}")
    model = dict(tables.get("model", {}))
    name = model.pop("name", ALS.name)
    if name not in MODELS:
        raise ConfigError(f"model.name: expected one of {', '.join(MODELS)}, got {name!r}")
    return Settings(
        data=_typed(DataSettings, _with_paths(tables, "data", folder), "data"),
        log=_typed(LogSettings, tables.get("log", {}), "log"),
        model=_typed(MODELS[name], model, "model"),
        evaluation=_typed(EvaluationSettings, tables.get("evaluation", {}), "evaluation"),
        alignment=_typed(AlignmentSettings, tables.get("alignment", {}), "alignment"),
        index=_typed(IndexSettings, tables.get("index", {}), "index"),
        gates=_typed(GateSettings, tables.get("gates", {}), "gates"),
        tune=_typed(TuneSettings, tables.get("tune", {}), "tune"),
        compare=_typed(CompareSettings, tables.get("compare", {}), "compare"),
        nightly=_typed(NightlySettings, _with_paths(tables, "nightly", folder), "nightly"),
    )


def _typed(settings: type[T], table: Mapping[str, Any], where: str) -> T:
    """Make one settings object of one table; ranges are checked by the object itself."""
    from pydantic import TypeAdapter, ValidationError

    types = get_type_hints(settings)
    _refuse_unknown(table, [f.name for f in fields(settings)], f"{where}.")  # type: ignore[arg-type]
    values = {}
    for key, value in table.items():
        if is_dataclass(types[key]) and isinstance(value, Mapping):
            values[key] = _typed(types[key], value, f"{where}.{key}")
            continue
        try:
            values[key] = TypeAdapter(types[key]).validate_python(value, strict=True)
        except ValidationError as error:
            expected = _lower_first(error.errors()[0]["msg"])
            raise ConfigError(f"{where}.{key}: {expected}, got {value!r}") from error
    return settings(**values)


def _refuse_unknown(table: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{prefix}{key}: unknown key, expected one of {', '.join(known)}"
                f"{did_you_mean(key, known, prefix=prefix)}"
            )


def _with_paths(tables: Mapping[str, Any], name: str, folder: str | Path) -> Mapping[str, Any]:
    """Return a table with its paths expanded."""
    return {
        key: _expand(value, Path(folder), name) if key in _PATHS[name] else value
        for key, value in tables.get(name, {}).items()
    }


def _expand(value: Any, folder: Path, where: str) -> Any:
    """Fill in environment variables and make paths relative to the folder of the config."""
    if isinstance(value, list):
        return [_expand(part, folder, where) for part in value]
    if not isinstance(value, str):
        return value
    expanded = os.path.expandvars(value)
    if missing := re.search(r"\$\{?(\w+)", expanded):
        raise ConfigError(
            f"{where}: the path {value!r} needs the environment variable {missing[1]}, "
            "which is not set"
        )
    return str(folder / Path(expanded).expanduser())


def _lower_first(sentence: str) -> str:
    return sentence[:1].lower() + sentence[1:]
