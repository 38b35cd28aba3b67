"""Embeddings that rank: the softmax over all items of the cosine with the user."""

from recsys.models.softmax.model import Softmax

__all__ = ["Softmax"]
