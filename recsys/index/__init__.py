"""Exact and Annoy candidates, calibrated to a recall target."""

from recsys.index.calibration import RECALL_K, build_index, load_index
from recsys.index.exact import ExactIndex
from recsys.index.forest import AnnoyIndex, build_forest
from recsys.index.protocol import Index, ItemRows
from recsys.index.settings import IndexKind, IndexSettings

__all__ = [
    "RECALL_K",
    "AnnoyIndex",
    "ExactIndex",
    "Index",
    "IndexKind",
    "IndexSettings",
    "ItemRows",
    "build_forest",
    "build_index",
    "load_index",
]
