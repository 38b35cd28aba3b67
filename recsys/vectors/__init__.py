"""What an embedding is: ids, the two matrices, exact top-k, and arithmetic by real ids."""

from recsys.vectors.alignment import Alignment, align, shared_rows
from recsys.vectors.carrying import carry_over
from recsys.vectors.embeddings import Embeddings, FloatMatrix, FloatVector
from recsys.vectors.ids import Id, Ids
from recsys.vectors.named import NamedVectors, ScoredId, named_vectors
from recsys.vectors.space import Vector, space_id_of
from recsys.vectors.storage import STORAGES, Storage, StoredMatrix, encode
from recsys.vectors.top_k import top_k

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
    "Storage",
    "StoredMatrix",
    "Vector",
    "align",
    "carry_over",
    "encode",
    "named_vectors",
    "shared_rows",
    "space_id_of",
    "top_k",
]
