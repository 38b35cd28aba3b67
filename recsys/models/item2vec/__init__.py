"""Item vectors from which items share users: the matrix of associations, and its factors."""

from recsys.models.item2vec.item2vec import Item2Vec

__all__ = ["Item2Vec"]
