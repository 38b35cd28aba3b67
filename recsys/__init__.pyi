from .config import Settings, read_config
from .errors import (
    ConfigError,
    CorruptVersionError,
    DataError,
    DivergedError,
    GateFailedError,
    RecsysError,
    StoreError,
    UnknownItemError,
    UnknownUserError,
    VersionNotFoundError,
)
from .evaluation import Evaluation, evaluate
from .logs import (
    Interactions,
    LogSettings,
    read_items,
    read_log,
    split_by_time,
    split_given,
    split_last,
    split_random,
)
from .models import ALS, SVD, Blend, Item2Vec, Popularity, Softmax
from .serving import Recommendations, Recommender, open, recommend
from .store import activate, verify, versions
from .training import train
from .vectors import Embeddings, Ids, NamedVectors, Vector, named_vectors

__all__ = [
    "ALS",
    "SVD",
    "Blend",
    "ConfigError",
    "CorruptVersionError",
    "DataError",
    "DivergedError",
    "Embeddings",
    "Evaluation",
    "GateFailedError",
    "Ids",
    "Interactions",
    "Item2Vec",
    "LogSettings",
    "NamedVectors",
    "Popularity",
    "Recommendations",
    "Recommender",
    "RecsysError",
    "Settings",
    "Softmax",
    "StoreError",
    "UnknownItemError",
    "UnknownUserError",
    "Vector",
    "VersionNotFoundError",
    "activate",
    "evaluate",
    "named_vectors",
    "open",
    "read_config",
    "read_items",
    "read_log",
    "recommend",
    "split_by_time",
    "split_given",
    "split_last",
    "split_random",
    "train",
    "verify",
    "versions",
]
