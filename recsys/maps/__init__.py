"""Maps of a version: its items or users on a plane, stable from day to day."""

from recsys.maps.kept import Kind, Origin
from recsys.maps.of_version import VectorMap, popularity_of, vector_map
from recsys.maps.positions import METHODS, Method, nearest
from recsys.maps.strata import StratifiedSample, Stratum, stratified_sample

__all__ = [
    "METHODS",
    "Kind",
    "Method",
    "Origin",
    "StratifiedSample",
    "Stratum",
    "VectorMap",
    "nearest",
    "popularity_of",
    "stratified_sample",
    "vector_map",
]
