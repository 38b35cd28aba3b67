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
from recsys.store.content import Content, open_version
from recsys.store.evaluation_summary import EvaluationSummary
from recsys.store.indexes import BuiltIndexes, build_indexes
from recsys.store.item_times import ItemTimes
from recsys.store.listing import describe_versions, table_of_described
from recsys.store.manifest import (
    Check,
    FileFacts,
    IndexSummaries,
    Manifest,
    ModelSpec,
)
from recsys.store.parent import Damaged, Parent, align_with_current, parent_of, require_comparable
from recsys.store.parquet_files import ItemTable, UserTable, read_vectors
from recsys.store.prune import Pruning, prune, prune_refreshed
from recsys.store.publish import Gate, publish, require_writable
from recsys.store.release import Release
from recsys.store.remote import shown_store, store_folder
from recsys.store.seen_lists import SeenLists
from recsys.store.sound import PassedOver, damage_of
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
    "ItemTimes",
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
    "prune",
    "prune_refreshed",
    "publish",
    "read_vectors",
    "require_comparable",
    "require_writable",
    "rollback",
    "served",
    "shown_store",
    "store_folder",
    "table_of_described",
    "unpin",
    "verify",
    "version_before",
    "versions",
]
