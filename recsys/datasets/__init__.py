"""Public interaction logs: a registry, and downloads that are verified."""

from recsys.datasets.fetch import fetch
from recsys.datasets.registry import DATASETS, BareLayout, Dataset, describe

__all__ = ["DATASETS", "BareLayout", "Dataset", "describe", "fetch"]
