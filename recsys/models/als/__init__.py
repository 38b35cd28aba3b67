"""Alternating least squares: the model, one side of it at a time, and the compiled row solver."""

from recsys.models.als.model import ALS

__all__ = ["ALS"]
