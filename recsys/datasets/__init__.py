"""Public interaction logs: a registry, and downloads that are verified."""

from recsys.datasets.fetch import describe, fetch
from recsys.datasets.registry import DATASETS, BareLayout, Dataset

__all__ = ["DATASETS", "BareLayout", "Dataset", "describe", "fetch"]
