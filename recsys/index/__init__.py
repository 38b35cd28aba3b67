"""Find the best items for a user: exactly, or by an Annoy forest that meets a recall target."""

from recsys.index.build import Index, build_index, load_index
from recsys.index.index_summary import IndexSummary
from recsys.index.measurement import Sample
from recsys.index.plain import Allowed, ItemRows, PlainIndex
from recsys.index.searcher import LONG, SHORT, Searcher
from recsys.index.with_more import IndexWithMore

__all__ = [
    "LONG",
    "SHORT",
    "Allowed",
    "Index",
    "IndexSummary",
    "IndexWithMore",
    "ItemRows",
    "PlainIndex",
    "Sample",
    "Searcher",
    "build_index",
    "load_index",
]
