"""Every setting, in the order of the config file; each range is checked here, once.

::

    [data]        where the log is, and what goes with it
    [log]         how the log is read
    [model]       its name; its hyperparameters are those of recsys.models
    [auto]        how a model is chosen where none is named
    [evaluation]  how the model is tested
    [alignment]   whether a version keeps the coordinates of the one before it
    [index]       how candidates are found
    [gates]       what can refuse a version
    [tune]        how hyperparameters are found
    [compare]     which models are compared
    [nightly]     what a night writes, keeps and logs
    [events]      where the events of the online service are kept
    [rules]       what holds for every list that is answered
    [service]     where the online service listens, and what it lets a caller ask for
    [spark]       where Spark runs, for engine = "spark"
    [compute]     whether a CUDA card does what it can

`recsys.config` makes these of a TOML file. Each raises a ConfigError if a setting is out of range.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from math import inf
from typing import Any, Literal, Self, get_args

from recsys.base.checks import ShowsChanges, require, require_known, require_types
from recsys.base.devices import ComputeSettings as ComputeSettings
from recsys.base.errors import ConfigError
from recsys.base.event_settings import EventSettings as EventSettings
from recsys.base.index_settings import IndexKind as IndexKind
from recsys.base.index_settings import IndexSettings as IndexSettings
from recsys.base.index_settings import IndexStorage as IndexStorage
from recsys.base.log_settings import COLUMN_NAMES as COLUMN_NAMES
from recsys.base.log_settings import DuplicatePolicy as DuplicatePolicy
from recsys.base.log_settings import HistoryOrder as HistoryOrder
from recsys.base.log_settings import ItemSettings as ItemSettings
from recsys.base.log_settings import LogFormat as LogFormat
from recsys.base.log_settings import LogSettings as LogSettings
from recsys.base.log_settings import TextSettings as TextSettings
from recsys.base.log_settings import TimestampUnit as TimestampUnit
from recsys.base.log_settings import ValueScale as ValueScale
from recsys.base.rule_settings import RuleSettings as RuleSettings
from recsys.base.service_settings import ServiceSettings as ServiceSettings
from recsys.base.spark_settings import SparkSettings as SparkSettings

SplitName = Literal["auto", "time", "last", "random", "items", "given", "none"]
ValidationName = Literal["same", "time", "last", "random", "items"]
LogLevel = Literal["debug", "info", "warning", "error"]

METRIC_NAMES = (
    *("recall", "recall_capped", "ndcg", "precision", "map", "mrr", "hit_rate", "truncated_auc"),
)
"""The keys of `recsys.evaluation.METRICS`."""

BETTER, AS_GOOD, COVERAGE = "better_than_popularity", "as_good_as_current", "catalogue_coverage"
NEW_AS_GOOD = "new_items_as_good_as_current"
"""Gates that look at the metrics."""

VECTORS, CHANCE = "users_with_vectors", "better_than_chance"
"""Gates that look at the version alone; all others are measures of drift."""

MEASURE_NAMES = (
    *("users_vanished", "users_appeared", "items_vanished", "items_appeared"),
    *("user_activity", "item_popularity", "item_norms", "user_norms", "neighbour_churn"),
    *("item_movement", "item_movement_p95", "item_movement_popular", "centroid_shift"),
    *("list_churn", "top_scores", "list_coverage", "list_gini"),
    *("volume", "past_days", "new_days", "event_types", "rejected_share", "duplicate_share"),
    *("mean_weight", "busiest_user", "busiest_item"),
)
"""The keys of `recsys.monitoring.DEFAULT_LIMITS`, the measures of drift."""

FEED_NAMES = ("log_age", "newest_day", "silent_hours")
"""The measures of the newest events, which refuse nothing."""


@dataclass(frozen=True, repr=False)
class DataSettings(ShowsChanges):
    """Where the log is and what goes with it; the ``[data]`` table.

    Paths may hold environment variables (``$RECSYS_DATA/ratings.csv.gz``) and are otherwise
    relative to the file of the config.
    """

    log: str | Sequence[str] = ()
    """Files, globs or folders of the log."""
    test: str | Sequence[str] = ()
    """The test part of a log that comes split, read by the same ``[log]`` settings."""
    items: str | None = None
    """A table of item attributes (Parquet, CSV or JSON lines): titles, categories."""
    item_columns: Mapping[str, str] = field(default_factory=dict)
    """Our name to the name in the table of items: item_id, where it is called otherwise, and
    title. Where anything but item_id is named, only what is named is kept."""
    items_text: TextSettings = field(default_factory=TextSettings)
    """How its text is taken apart: the keys header, names, delimiter, decimal, comment, encoding
    and null_values, as in ``[log]``."""
    users: str | None = None
    """A table of user attributes, read as that of items is: for conditions on audiences, and what a
    model may know users by."""
    user_columns: Mapping[str, str] = field(default_factory=dict)
    """Our name to the name in the table of users: user_id, where it is called otherwise."""
    cache: str | None = None
    """The folder for copies of what lies in a bucket, where neither ``recsys --cache`` nor
    $RECSYS_CACHE names one. Default: recsys in $XDG_CACHE_HOME or ~/.cache."""

    @property
    def item_settings(self) -> ItemSettings:
        """How the table of items is read."""
        return ItemSettings(columns=self.item_columns, text=self.items_text)


AUTO = "auto"
"""The name of no model: one is chosen for the log."""


@dataclass(frozen=True, repr=False)
class AutoSettings(ShowsChanges):
    """How a model is chosen for a log where none is named; the ``[auto]`` table."""

    factors: int = 512
    """The largest number that is chosen. What it is distilled from has up to 1,024."""
    work: float = 1.0
    """After which no other fit begins. 1 is a fifth of a fit of the default distilled model,
    large teacher included, and 25 seconds of a processor at least. Multiplications are counted, so
    that a log gets the same model on any machine."""
    minutes: float | None = None
    """After which no other fit begins; a slower machine then chooses among fewer models."""
    metric: str = "ndcg"
    """What should be best on the validation part, at ``evaluation.k``."""

    def __post_init__(self) -> None:
        require_types("auto", self)
        require("auto.factors", self.factors, least=1)
        require("auto.work", self.work, above=0, below=inf)
        if self.minutes is not None:
            require("auto.minutes", self.minutes, above=0, expected="more than 0")
        require("auto.metric", self.metric, one_of=METRIC_NAMES)


@dataclass(frozen=True, repr=False)
class SplitSettings(ShowsChanges):
    """How a log is cut into parts: most of the ``[evaluation]`` table."""

    split: SplitName = "auto"
    """"time": all events from an instant on are the test part. "last": each user's last items.
    "random": a random share of each user's items. "items": a share of the items, whole, and of
    each user's others. "given": the file named by ``data.test``.
    "none": publish without a test. "auto": "given" where there is such a file; "random" without
    times; "time", or "last" where by time few users would be tested: below 100, and below half."""
    test_fraction: float = 0.2
    """Share of the events ("time"), of each user's items ("random", "items") and of all items
    ("items") that are tested on."""
    last: int = 1
    """Items per user ("last")."""
    seed: int = 0
    """Of the random splits, "random" and "items"."""
    validation: ValidationName = "same"
    """How the validation part is cut from train, with the same `test_fraction`, `last` and
    `seed`. "same": as `split` says; where test is given, by time if train has it, else at
    random."""

    def __post_init__(self) -> None:
        require_types("evaluation", self)
        share, words = self.test_fraction, "a share between 0 and 1"
        require("evaluation.test_fraction", share, above=0, below=1, expected=words)
        require("evaluation.last", self.last, least=1)
        require("evaluation.split", self.split, one_of=get_args(SplitName))
        require("evaluation.validation", self.validation, one_of=get_args(ValidationName))


@dataclass(frozen=True, repr=False)
class EvaluationSettings(SplitSettings):
    """How the model is tested before it is published; the ``[evaluation]`` table.

    With all of `SplitSettings`.
    """

    k: int = 20
    """Length of the lists that the metrics look at."""
    max_users: int = 50_000
    """Users that are tested, drawn with `seed` where more have test items."""

    def __post_init__(self) -> None:
        super().__post_init__()
        require("evaluation.k", self.k, least=1)
        require("evaluation.max_users", self.max_users, least=1)


@dataclass(frozen=True, repr=False)
class AlignmentSettings(ShowsChanges):
    """Whether embeddings are rotated onto those before; the ``[alignment]`` table."""

    enabled: bool = True
    """Without, every version begins a space of its own."""
    min_agreement: float = 0.5
    """Least agreement of an item's new and old vectors, from 0 to 1, see
    `recsys.vectors.Alignment`; below it a new space begins. The default is between retraining
    and unrelated vectors, as ``python -m benchmarks.alignment --limits`` prints them."""

    def __post_init__(self) -> None:
        require_types("alignment", self)
        require("alignment.min_agreement", self.min_agreement, least=0, at_most=1)


@dataclass(frozen=True, repr=False)
class GateSettings(ShowsChanges):
    """What can refuse a version before it becomes current; the ``[gates]`` table."""

    enabled: bool = True
    """Without, nothing is checked, and nothing learned for later nights."""
    off: Sequence[str] = ()
    """Checks, by name, that are reported and refuse nothing."""
    refuse_above: float = 2.0
    """A measure of drift is reported above its limit, and refuses above this many, 1 or more."""
    limits: Mapping[str, float] = field(default_factory=dict)
    """Limits of measures, by name, in place of those that are learned: of drift, and of the newest
    events, "log_age" (days by which the log may age before that is reported), "newest_day" and
    "silent_hours"."""
    metric: str = "ndcg"
    """What the model is judged by, at ``evaluation.k``."""
    max_metric_loss: float = 0.05
    """How far, a share from 0, its interval may lie below that of the current version."""
    min_coverage: float = 0.0
    """Least share of the catalogue that the lists of the test must hold."""
    history: int = 10
    """Nights that limits are learned from."""
    users: int = 1000
    items: int = 300
    """Users whose lists, and items whose neighbours, are compared."""
    k: int = 10
    """Length of those lists."""

    def __post_init__(self) -> None:
        require_types("gates", self)
        of_metrics = (BETTER, AS_GOOD, NEW_AS_GOOD, COVERAGE, VECTORS, CHANCE)
        require_known("gates.off", self.off, (*of_metrics, *MEASURE_NAMES))
        require_known("gates.limits", self.limits, (*MEASURE_NAMES, *FEED_NAMES))
        require("gates.metric", self.metric, one_of=METRIC_NAMES)
        for name, limit in self.limits.items():
            require(f"gates.limits.{name}", limit, least=0, below=inf)
        require("gates.refuse_above", self.refuse_above, least=1, below=inf)
        for name in ("max_metric_loss", "min_coverage"):
            words = "a share from 0, below 1"
            require(f"gates.{name}", getattr(self, name), least=0, below=1, expected=words)
        for name in ("history", "users", "items", "k"):
            require(f"gates.{name}", getattr(self, name), least=1)


@dataclass(frozen=True, repr=False)
class Budget(ShowsChanges):
    """How long a search may take; it ends where the first of the two does."""

    trials: int = 60
    """At most, with all numbers of factors together."""
    minutes: float | None = None
    """Of trials, those of an earlier process included. The one that runs is not cut short."""

    def __post_init__(self) -> None:
        require_types("tune", self)
        require("tune.trials", self.trials, above=0, expected="more than 0")
        if self.minutes is not None:
            require("tune.minutes", self.minutes, above=0, expected="more than 0")


@dataclass(frozen=True, repr=False)
class TuneSettings(ShowsChanges):
    """How hyperparameters are found; the ``[tune]`` table."""

    factors: int = 64
    """The largest number that is tried."""
    trials: int = 40
    """Of each model, at most, with all numbers of factors together."""
    minutes: float | None = None
    """Of each model, at most. The trial that runs is not cut short."""
    metric: str = "ndcg"
    """What should be best on the validation part, at ``evaluation.k``."""
    seed: int = 0
    """Of the search."""
    spaces: Mapping[str, Mapping[str, Sequence[float]]] = field(default_factory=dict)
    """By model and hyperparameter, the low and the high end between which values are tried.
    Default: those of `recsys.tuning.SPACES`."""

    def __post_init__(self) -> None:
        require_types("tune", self)
        require("tune.factors", self.factors, least=1)
        require("tune.metric", self.metric, one_of=METRIC_NAMES)
        Budget(self.trials, self.minutes)  # checks both
        for model, space in self.spaces.items():
            for name, ends in space.items():
                place = f"tune.spaces.{model}.{name}"
                expected = "a low and a high end, such as [0.1, 10]"
                require(place, len(ends), one_of=(2,), expected=expected)
                require(place, ends[0], below=ends[1], expected=expected)

    @property
    def budget(self) -> Budget:
        """How long it may take."""
        return Budget(self.trials, self.minutes)


@dataclass(frozen=True, repr=False)
class CompareSettings(ShowsChanges):
    """Which models are compared, and how; the ``[compare]`` table."""

    models: Sequence[str] | None = None
    """By name; also "knn", "ease", "bpr" of `implicit`, and "auto", the one that `train` chooses.
    Default: what has a chance on the log, see `recsys.tuning.candidates.with_a_chance`."""
    baseline: str | None = None
    """The one that the others are compared to. Default: popularity, which is added."""
    tune: bool = True
    """Find each model's hyperparameters first, as ``[tune]`` says."""
    seeds: int = 1
    """Fits of each model with different random starts."""
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    """Hyperparameters by the name of the model; with `tune`, where to begin."""

    def __post_init__(self) -> None:
        require_types("compare", self)
        require("compare.seeds", self.seeds, least=1)
        if self.models is None:
            return
        if not self.models:
            raise ConfigError("compare.models: expected at least one, got none")
        if self.baseline is not None:
            require("compare.baseline", self.baseline, one_of=self.models)
        for name in self.parameters:
            require("compare.parameters", name, one_of=self.models)

    @property
    def reference(self) -> str:
        """The model that the others are compared to."""
        return self.baseline or "popularity"

    def named(self, chosen: Sequence[str]) -> Self:
        """Return the same with models, those chosen where none are named, and with the baseline."""
        models = [*(chosen if self.models is None else self.models), self.reference]
        return replace(self, models=list(dict.fromkeys(models)))


@dataclass(frozen=True, repr=False)
class NightlySettings(ShowsChanges):
    """What a night writes, keeps and logs; the ``[nightly]`` table.

    Paths are like those of `DataSettings`.
    """

    store: str | None = None
    """Default: $RECSYS_STORE, else ./store."""
    warm_start: bool = True
    """Begin at the embeddings of the current version, where the model can: ALS and distilled."""
    warm_iterations: int | None = None
    """Epochs after a warm start. Default: as many as from a random start."""
    reuse_unchanged: bool = True
    """Keep the current version where nothing is new, instead of publishing it again."""
    keep: int = 7
    """The newest versions that are kept."""
    keep_runs: int = 14
    """The newest runs whose report is kept."""
    log_file: str | None = None
    """Where the JSON lines go. Default: stderr, unless that is a terminal."""
    log_level: LogLevel = "info"
    """The least that is logged."""
    metrics_file: str | None = None
    """Prometheus textfile, such as node_exporter reads."""
    mlflow: str | None = None
    """Tracking URI of an MLflow server, or a folder as ``file:...``."""
    mlflow_experiment: str = "recsys"
    """Where its runs go."""

    def __post_init__(self) -> None:
        require_types("nightly", self)
        if self.warm_iterations is not None:
            require("nightly.warm_iterations", self.warm_iterations, least=1)
        require("nightly.keep", self.keep, least=1)
        require("nightly.keep_runs", self.keep_runs, least=1)
        require("nightly.log_level", self.log_level, one_of=get_args(LogLevel))
