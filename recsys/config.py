"""One TOML file to the settings of `recsys.settings` and a model; an unknown key is an error.

Models are imported where one is named: their solvers take half a second, which no server waits for.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import MISSING, dataclass, field, fields, is_dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar, get_args, get_type_hints

import numpy as np

from recsys.base.checks import ShowsChanges, as_path, require
from recsys.base.environment import expanded
from recsys.base.errors import ConfigError, briefly, cut_short, did_you_mean
from recsys.base.feature_settings import FeatureSettings
from recsys.base.in_toml import expected_in_toml
from recsys.base.query_settings import file_in, without_passwords
from recsys.base.rule_settings import NewItems, plain_rule
from recsys.base.spark_settings import Engine
from recsys.settings import AUTO as AUTO
from recsys.settings import (
    AlignmentSettings,
    AutoSettings,
    CompareSettings,
    ComputeSettings,
    DataSettings,
    EvaluationSettings,
    EventSettings,
    GateSettings,
    IndexSettings,
    LogSettings,
    NightlySettings,
    RuleSettings,
    ServiceSettings,
    SparkSettings,
    SplitSettings,
    TuneSettings,
)

if TYPE_CHECKING:
    from recsys.models import Model
else:
    Model = Any

SomeSettings = TypeVar("SomeSettings")
_PATHS = {
    "data": ("log", "test", "items", "users", "cache"),
    "log": ("password_file",),
    "nightly": ("store", "log_file", "metrics_file"),
    "events": ("database",),
    "rules": ("sold_out",),
    "service": ("keys", "tls_certificate", "tls_key"),
    "spark": ("checkpoint",),
}


@dataclass(frozen=True, repr=False)
class Settings(ShowsChanges):
    """Everything that a config file can say, typed and checked.

    A table may be given as a dict of some of its keys, and the model by its name or as a dict.
    """

    engine: Engine = "local"
    """Where a version is made: in this process, or in the executors of Spark; no table."""
    data: DataSettings = field(default_factory=DataSettings)
    log: LogSettings = field(default_factory=LogSettings)
    model: Model | None = None
    """None is "auto": chosen for the log, as ``[auto]`` says."""
    auto: AutoSettings = field(default_factory=AutoSettings)
    evaluation: EvaluationSettings = field(default_factory=EvaluationSettings)
    alignment: AlignmentSettings = field(default_factory=AlignmentSettings)
    index: IndexSettings = field(default_factory=IndexSettings)
    gates: GateSettings = field(default_factory=GateSettings)
    tune: TuneSettings = field(default_factory=TuneSettings)
    compare: CompareSettings = field(default_factory=CompareSettings)
    nightly: NightlySettings = field(default_factory=NightlySettings)
    events: EventSettings = field(default_factory=EventSettings)
    rules: RuleSettings = field(default_factory=RuleSettings)
    service: ServiceSettings = field(default_factory=ServiceSettings)
    spark: SparkSettings = field(default_factory=SparkSettings)
    compute: ComputeSettings = field(default_factory=ComputeSettings)
    features: FeatureSettings = field(default_factory=FeatureSettings)
    """Columns that the model knows: item_features and user_features of ``[model]``."""

    def __post_init__(self) -> None:
        require("engine", self.engine, one_of=get_args(Engine))
        features, model = self.features.changed(self.model)
        object.__setattr__(self, "features", features)
        object.__setattr__(self, "model", model or None)
        for one in TABLES:
            value = getattr(self, one.name)
            if one.default_factory is MISSING:  # the model, of which the name is enough
                if isinstance(value, Mapping | str):
                    object.__setattr__(self, one.name, _changed_model(None, value))
                continue
            default = one.default_factory()
            if not isinstance(value, type(default)):  # a dict of some of its keys
                object.__setattr__(self, one.name, _changed(default, one.name, value))
        if self.data.log and self.log.sql is not None:
            raise ConfigError("log.sql: expected one source of the log, got data.log as well")

    def require_local(self, what: str) -> None:
        """Raise a ConfigError where the engine is not the one that something runs on."""
        if self.engine != "local":
            raise ConfigError(
                f'engine: {what}: expected "local", got {briefly(self.engine)}, on which train and '
                'recsys.spark.train.train run and nothing else; set engine = "local" (on the '
                "command line: --set engine=local)"
            )

    @property
    def chosen_model(self) -> Model:
        """The model, where one is named or has been chosen."""
        from recsys.models.requirements import require_model

        if self.model is None:
            raise ConfigError(
                f"model: expected one such as recsys.ALS(), got {AUTO!r}, for which there is no "
                "log to choose by"
            )
        require_model("model", self.model)
        return self.model


TABLES = tuple(one for one in fields(Settings) if one.name not in ("engine", "features"))
"""The fields that are tables of a config."""
_NAMES = ("engine", *(one.name for one in TABLES))


def read_config(path: str | Path) -> Settings:
    """Read settings from a TOML file.

    Raises
    ------
    ConfigError
        If the file is missing or no TOML, or a key is unknown, of the wrong type or out of range.
    """
    return settings_from(read_tables(path))


def read_tables(path: str | Path) -> dict[str, Any]:
    """Read the tables of a TOML file of settings, paths in them relative to the present folder.

    Raises
    ------
    ConfigError
        As `read_config`.
    """
    path = as_path("read_config", path)
    try:
        tables = tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as error:
        raise ConfigError(
            f"config: expected a TOML file at {path}, got {error.strerror or error}"
        ) from error
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise ConfigError(f"config {path}: not a TOML file: {error}") from error
    try:
        settings_from(tables, folder=path.parent)
        whole = {one.name: dict(_with_paths(tables, one.name, path.parent)) for one in TABLES}
        return {name: whole.get(name, value) for name, value in tables.items()}
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
    _refuse_unknown(tables, _NAMES, "")
    for name, table in tables.items():
        if name != "engine" and not isinstance(table, Mapping):
            raise ConfigError(f"{name}: expected a table [{name}], got {briefly(table)}")
    types = get_type_hints(Settings)
    found = {
        one.name: _typed(types[one.name], _with_paths(tables, one.name, folder), one.name)
        for one in TABLES
        if one.name != "model"
    }
    found["features"], model = FeatureSettings().changed(tables.get("model", {}))
    return Settings(tables.get("engine", "local"), model=_model(model), **found)


def _model(table: Mapping[str, Any]) -> Model | None:
    """Return the model of a config; hyperparameters without a name are those of ALS."""
    if table in ({}, {"name": AUTO}):
        return None
    from recsys.models import ALS, MODELS, SCORERS
    from recsys.models.requirements import without_vectors

    hyperparameters = dict(table)
    name = hyperparameters.pop("name", ALS.name if hyperparameters else AUTO)
    if name in SCORERS:
        raise without_vectors("model.name", name)
    require("model.name", name, one_of=(AUTO, *MODELS))
    if name != AUTO:
        return _typed(MODELS[name], hyperparameters, "model")
    if hyperparameters:
        raise ConfigError(
            f"model.{next(iter(hyperparameters))}: expected no hyperparameter beside "
            f'name = "{AUTO}", which chooses them; name a model, or set auto.factors'
        )
    return None


def with_tables(settings: Settings, tables: Mapping[str, Any]) -> Settings:
    """Return settings with some keys of some tables changed; errors as of `settings_from`.

    Parameters
    ----------
    tables : mapping
        As parsed from TOML. A table may be an object of its class, and a model one of
        `recsys.models`: those are taken whole. A model without a name changes the one there is.

    Examples
    --------
    >>> changed = with_tables(Settings(), {"index": {"kind": "exact"}, "model": {"factors": 32}})
    >>> changed.index.kind, changed.model.factors
    ('exact', 32)
    """
    _refuse_unknown(tables, _NAMES, "")
    features, model = settings.features.changed(tables.get("model"))
    changed = {name: model if name == "model" else table for name, table in tables.items()}
    if isinstance(model, Mapping) and not model:  # it was of features alone
        del changed["model"]
    return replace(
        settings,
        features=features,
        **{name: _changed(getattr(settings, name), name, table) for name, table in changed.items()},
    )


def changed_tables(settings: Settings) -> dict[str, Any]:
    """Return the tables of a config that is not empty: the keys that are not their defaults.

    The engine, where it is not the default, is no table.

    Examples
    --------
    >>> changed_tables(with_tables(Settings(), {"index": {"kind": "exact"}}))
    {'index': {'kind': 'exact'}}
    """
    defaults = Settings()
    tables: dict[str, Any] = {
        one.name: _differing(getattr(settings, one.name), getattr(defaults, one.name))
        for one in TABLES
        if one.name != "model"
    }
    if settings.engine != defaults.engine:
        tables = {"engine": settings.engine, **tables}
    if settings.model is not None:
        from recsys.models import parameters_of

        tables["model"] = {"name": settings.model.name, **parameters_of(settings.model)}
    if settings.features:
        tables["model"] = tables.get("model", {}) | settings.features.to_dict()
    return {name: table for name, table in tables.items() if table}


def plain_setting(value: Any) -> Any:
    """Return a setting as TOML has it: settings inside a table show what is not their default."""
    kind: Any = type(value)
    if isinstance(value, tuple) and any(map(is_dataclass, value)):
        return [plain_rule(one) for one in value]
    if isinstance(value, NewItems):
        return plain_rule(value)
    return _differing(value, kind()) if is_dataclass(value) else value


def _differing(table: Any, default: Any) -> dict[str, Any]:
    found = {one.name: getattr(table, one.name) for one in fields(table)}
    return {
        name: plain_setting(value)
        for name, value in found.items()
        if value != getattr(default, name)
    }


def _changed(old: Any, name: str, table: Any) -> Any:
    if name == "engine":  # no table
        return table
    if name == "model":
        return _changed_model(old, table)
    if isinstance(table, type(old)):
        return table
    if isinstance(table, SplitSettings) and isinstance(old, EvaluationSettings):  # most of it
        return replace(old, **vars(table))
    if not isinstance(table, Mapping):
        kind = type(old).__name__
        raise ConfigError(
            f"{name}: expected a table, a dict of its keys or {kind}, got {briefly(table)}"
        )
    return replace(old, **_values(type(old), table, name))


def _changed_model(old: Model | None, model: Any) -> Model | None:
    """Return a model that is an object, a name, or hyperparameters, without a name of the old."""
    if model is None or isinstance(model, str):
        return _model({"name": model or AUTO})
    from recsys.models import parameters_of
    from recsys.models.requirements import require_model

    if isinstance(model, Mapping):
        if old is not None and model.get("name", old.name) == old.name:
            model = {"name": old.name, **parameters_of(old), **model}
        return _model(model)
    require_model("model", model)
    return model  # type: ignore[no-any-return]


def _typed(settings: type[SomeSettings], table: Mapping[str, Any], where: str) -> SomeSettings:
    """Make one settings object of one table; ranges are checked by the object itself."""
    return settings(**_values(settings, table, where))


def _values(settings: type, table: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Return the values of one table, each of the type that the settings have for it."""
    from pydantic import TypeAdapter, ValidationError

    types = get_type_hints(settings)
    _refuse_unknown(table, [f.name for f in fields(settings)], f"{where}.")
    values = {}
    for key, given in table.items():
        value = given.item() if isinstance(given, np.generic) else given
        if isinstance(value, Mapping) and is_dataclass(types[key]):
            values[key] = _typed(types[key], value, f"{where}.{key}")
            continue
        if isinstance(value, Mapping) and where.startswith("model"):
            from recsys.models.registry import inner_model

            kind, rest = inner_model(f"{where}.{key}", value)
            values[key] = _typed(kind, rest, f"{where}.{key}")
            continue
        if any(map(is_dataclass, get_args(types[key]))):  # a list of tables
            values[key] = value
            continue
        try:
            values[key] = TypeAdapter(types[key]).validate_python(value, strict=True)
        except ValidationError as error:
            got = cut_short(without_passwords(repr(value)))
            raise ConfigError(f"{where}.{key}: {expected_in_toml(error)}, got {got}") from None
    return values


def _refuse_unknown(table: Mapping[str, Any], known: Sequence[str], prefix: str) -> None:
    for key in table:
        if key not in known:
            raise ConfigError(
                f"{prefix}{key}: unknown key, expected one of {', '.join(known)}"
                f"{did_you_mean(key, known, prefix=prefix)}"
            )


def moved_paths(tables: Mapping[str, Any], old: Path, new: Path) -> dict[str, Any]:
    """Return the tables of a config that is written to another folder: paths lead to the same."""

    def moved(value: Any) -> Any:
        if isinstance(value, list | tuple):
            return [moved(part) for part in value]
        if not isinstance(value, str) or value.startswith(("$", "~")) or "://" in value:
            return value
        return value if Path(value).is_absolute() else os.path.relpath(old / value, new)

    found = dict(tables)
    for name in _PATHS.keys() & tables.keys():
        paths, table = _PATHS[name], tables[name]
        found[name] = {key: moved(one) if key in paths else one for key, one in table.items()}
    return found


def _with_paths(tables: Mapping[str, Any], name: str, folder: str | Path) -> Mapping[str, Any]:
    """Return a table with its paths expanded."""
    paths, table = _PATHS.get(name, ()), tables.get(name, {})
    found = {
        key: expanded(value, Path(folder), name) if key in paths else value
        for key, value in table.items()
    }
    if name == "log" and isinstance(table.get("uri"), str):
        found["uri"] = file_in(table["uri"], Path(folder))
    return found
