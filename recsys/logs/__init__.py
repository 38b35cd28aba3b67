"""From an interaction log to a sparse matrix: ingest, rejects, weights and decay, split."""

from recsys.logs.account import Account
from recsys.logs.interactions import DuplicatePolicy, Interactions
from recsys.logs.settings import LogSettings

__all__ = ["Account", "DuplicatePolicy", "Interactions", "LogSettings"]
