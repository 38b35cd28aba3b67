"""The store: manifest, files and versions; publish, activate, roll back, verify and prune them."""

from recsys.store.activating import activate, rollback
from recsys.store.checks import Check
from recsys.store.content import Content, open_version, read_version
from recsys.store.directory import Version, current, find_version, versions
from recsys.store.export import export_version
from recsys.store.files import ItemTable, SeenLists, UserTable
from recsys.store.history import Activation, activations, served, version_before
from recsys.store.indexes import BuiltIndexes, build_indexes
from recsys.store.lineage import AlignmentSettings, align_with_current
from recsys.store.listing import list_versions
from recsys.store.manifest import FileFacts, Manifest
from recsys.store.pairing import read_vectors
from recsys.store.pins import pin, pinned, unpin
from recsys.store.pruning import Pruning, prune
from recsys.store.publishing import Judge, publish, require_writable
from recsys.store.release import Release
from recsys.store.verifying import verify

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
    "export_version",
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
