"""The store: manifest, files and versions; publish, activate and verify them."""

from recsys.store.checks import Check
from recsys.store.content import Content, read_version
from recsys.store.directory import Version, activate, current, find_version, versions
from recsys.store.files import ItemTable, SeenLists, UserTable
from recsys.store.lineage import AlignmentSettings, align_with_current
from recsys.store.manifest import FileFacts, Manifest
from recsys.store.pairing import read_vectors
from recsys.store.publishing import Judge, publish, require_writable
from recsys.store.release import Release
from recsys.store.verifying import verify

__all__ = [
    "AlignmentSettings",
    "Check",
    "Content",
    "FileFacts",
    "ItemTable",
    "Judge",
    "Manifest",
    "Release",
    "SeenLists",
    "UserTable",
    "Version",
    "activate",
    "align_with_current",
    "current",
    "find_version",
    "publish",
    "read_vectors",
    "read_version",
    "require_writable",
    "verify",
    "versions",
]
