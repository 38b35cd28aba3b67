"""Settings of the index, which are in recsys.settings."""

from recsys.settings import IndexKind, IndexSettings

__all__ = ["IndexKind", "IndexSettings"]
