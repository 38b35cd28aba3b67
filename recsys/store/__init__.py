"""The store: manifest, files and versions; publish, activate and verify them."""

from recsys.store.content import Content, read_version
from recsys.store.directory import Version, activate, current, find_version, versions
from recsys.store.files import ItemTable, SeenLists, UserTable
from recsys.store.indexes import BuiltIndexes, build_indexes
from recsys.store.manifest import FileFacts, Manifest
from recsys.store.publishing import publish, require_writable
from recsys.store.release import Release
from recsys.store.verifying import verify

__all__ = [
    "BuiltIndexes",
    "Content",
    "FileFacts",
    "ItemTable",
    "Manifest",
    "Release",
    "SeenLists",
    "UserTable",
    "Version",
    "activate",
    "build_indexes",
    "current",
    "find_version",
    "publish",
    "read_version",
    "require_writable",
    "verify",
    "versions",
]
