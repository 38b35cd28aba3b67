"""Exact and Annoy candidates, calibrated to a recall target."""

from recsys.index.building import build_index, load_index
from recsys.index.exact import ExactIndex, PlainIndex
from recsys.index.forest import AnnoyIndex, build_forest
from recsys.index.protocol import Allowed, Index, ItemRows
from recsys.index.settings import IndexKind, IndexSettings
from recsys.index.trial import LONG, SHORT, Sample, Trial

__all__ = [
    "LONG",
    "SHORT",
    "Allowed",
    "AnnoyIndex",
    "ExactIndex",
    "Index",
    "IndexKind",
    "IndexSettings",
    "ItemRows",
    "PlainIndex",
    "Sample",
    "Trial",
    "build_forest",
    "build_index",
    "load_index",
]
