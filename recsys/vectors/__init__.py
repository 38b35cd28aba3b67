"""What an embedding is: ids, the two matrices, exact top-k."""

from recsys.vectors.embeddings import Embeddings, FloatMatrix, FloatVector
from recsys.vectors.ids import Id, Ids
from recsys.vectors.top_k import top_k

__all__ = ["Embeddings", "FloatMatrix", "FloatVector", "Id", "Ids", "top_k"]
