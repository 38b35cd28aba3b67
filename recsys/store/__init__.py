"""Versions on disk: publish, open, activate, roll back, verify and prune them."""

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
from recsys.store.align import align_with_current
from recsys.store.content import Content, open_version, read_vectors
from recsys.store.listing import describe_versions
from recsys.store.manifest import (
    Check,
    EvaluationSummary,
    FileFacts,
    IndexSummaries,
    Manifest,
    ModelSpec,
    plain,
)
from recsys.store.parent import Damaged, Parent, parent_of, require_comparable
from recsys.store.prune import Pruning, prune
from recsys.store.publish import Gate, publish, require_writable
from recsys.store.release import BuiltIndexes, Release, build_indexes
from recsys.store.sound import PassedOver, damage_of
from recsys.store.tables import ItemTable, SeenLists, UserTable
from recsys.store.verify import verify
from recsys.store.versions import Version, current, current_or_none, find_version, versions

__all__ = [
    "Activation",
    "BuiltIndexes",
    "Check",
    "Content",
    "Damaged",
    "EvaluationSummary",
    "FileFacts",
    "Gate",
    "IndexSummaries",
    "ItemTable",
    "Manifest",
    "ModelSpec",
    "Parent",
    "PassedOver",
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
    "current_or_none",
    "damage_of",
    "describe_versions",
    "find_version",
    "open_version",
    "parent_of",
    "pin",
    "pinned",
    "plain",
    "prune",
    "publish",
    "read_vectors",
    "require_comparable",
    "require_writable",
    "rollback",
    "served",
    "unpin",
    "verify",
    "version_before",
    "versions",
]
