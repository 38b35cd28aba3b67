"""Maps of a version: its items or users on a plane, stable from day to day."""

from recsys.maps.kept import Kind, Origin
from recsys.maps.of_version import VectorMap, vector_map
from recsys.maps.positions import METHODS, Method

__all__ = ["METHODS", "Kind", "Method", "Origin", "VectorMap", "vector_map"]
