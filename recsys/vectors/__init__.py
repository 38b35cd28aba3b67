"""What an embedding is: ids, the two matrices, exact top-k, and arithmetic by external ids."""

from recsys.vectors.alignment import Alignment, align, shared_rows
from recsys.vectors.by_id import NamedVectors, ScoredId, named_vectors
from recsys.vectors.embeddings import Embeddings, FloatMatrix, FloatVector, Scorer
from recsys.vectors.ids import Id, Ids
from recsys.vectors.storage import STORAGES, Storage, StoredMatrix, encode
from recsys.vectors.top_k import top_k
from recsys.vectors.vector import Vector, space_id_of

__all__ = [
    "STORAGES",
    "Alignment",
    "Embeddings",
    "FloatMatrix",
    "FloatVector",
    "Id",
    "Ids",
    "NamedVectors",
    "ScoredId",
    "Scorer",
    "Storage",
    "StoredMatrix",
    "Vector",
    "align",
    "encode",
    "named_vectors",
    "shared_rows",
    "space_id_of",
    "top_k",
]
