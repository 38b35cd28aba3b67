"""The errors under their public path, `recsys.errors`; see `recsys.base.errors` for the tree."""

from recsys.base.errors import (
    ConfigError,
    CorruptVersionError,
    DataError,
    DivergedError,
    EventsError,
    EventsFullError,
    GateFailedError,
    RecsysError,
    ServiceError,
    StoreError,
    UnknownItemError,
    UnknownUserError,
    UnreadableError,
    VersionNotFoundError,
)

__all__ = [
    "ConfigError",
    "CorruptVersionError",
    "DataError",
    "DivergedError",
    "EventsError",
    "EventsFullError",
    "GateFailedError",
    "RecsysError",
    "ServiceError",
    "StoreError",
    "UnknownItemError",
    "UnknownUserError",
    "UnreadableError",
    "VersionNotFoundError",
]
