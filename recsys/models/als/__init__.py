"""Alternating least squares: the model, one side of it at a time, and the compiled row solver."""

from recsys.models.als.als import ALS

__all__ = ["ALS"]
