"""The store: manifest, files and versions; publish, activate, roll back, verify and prune them."""

from recsys.store.activations import (
    Activation,
    activate,
    activations,
    pin,
    pinned,
    rollback,
    served,
    unpin,
    version_before,
)
from recsys.store.align import AlignmentSettings, align_with_current
from recsys.store.content import Content, open_version, read_vectors, read_version
from recsys.store.listing import list_versions
from recsys.store.manifest import Check, FileFacts, Manifest
from recsys.store.prune import Pruning, prune
from recsys.store.publish import Judge, publish, require_writable
from recsys.store.release import BuiltIndexes, Release, build_indexes
from recsys.store.tables import ItemTable, SeenLists, UserTable
from recsys.store.verify import verify
from recsys.store.versions import Version, current, find_version, versions

__all__ = [
    "Activation",
    "AlignmentSettings",
    "BuiltIndexes",
    "Check",
    "Content",
    "FileFacts",
    "ItemTable",
    "Judge",
    "Manifest",
    "Pruning",
    "Release",
    "SeenLists",
    "UserTable",
    "Version",
    "activate",
    "activations",
    "align_with_current",
    "build_indexes",
    "current",
    "find_version",
    "list_versions",
    "open_version",
    "pin",
    "pinned",
    "prune",
    "publish",
    "read_vectors",
    "read_version",
    "require_writable",
    "rollback",
    "served",
    "unpin",
    "verify",
    "version_before",
    "versions",
]
