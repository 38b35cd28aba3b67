"""Maps of a version: its items or users on a plane, stable from day to day."""

from recsys.maps.coloring import Coloring
from recsys.maps.kept import Kind, Origin
from recsys.maps.of_version import VectorMap, popularity_of, vector_map
from recsys.maps.picture import MapPicture, picture_of
from recsys.maps.positions import METHODS, Method, nearest
from recsys.maps.regions import Region
from recsys.maps.strata import StratifiedSample, Stratum, stratified_sample

__all__ = [
    "METHODS",
    "Coloring",
    "Kind",
    "MapPicture",
    "Method",
    "Origin",
    "Region",
    "StratifiedSample",
    "Stratum",
    "VectorMap",
    "nearest",
    "picture_of",
    "popularity_of",
    "stratified_sample",
    "vector_map",
]
