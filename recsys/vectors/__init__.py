"""What an embedding is: ids, the two matrices, exact top-k, and arithmetic by real ids."""

from recsys.vectors.embeddings import Embeddings, FloatMatrix, FloatVector
from recsys.vectors.ids import Id, Ids
from recsys.vectors.named import NamedVectors, ScoredId, named_vectors
from recsys.vectors.space import Vector, space_id_of
from recsys.vectors.top_k import top_k

__all__ = [
    "Embeddings",
    "FloatMatrix",
    "FloatVector",
    "Id",
    "Ids",
    "NamedVectors",
    "ScoredId",
    "Vector",
    "named_vectors",
    "space_id_of",
    "top_k",
]
