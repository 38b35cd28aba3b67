"""A small model that ranks like a large one: a softmax on the lists of a teacher."""

from recsys.models.distilled.distilled import Distilled

__all__ = ["Distilled"]
