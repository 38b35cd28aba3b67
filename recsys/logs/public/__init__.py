"""Public interaction logs: a registry, and downloads that are verified."""

from recsys.logs.public.fetching import describe, fetch
from recsys.logs.public.registry import DATASETS, BareLayout, Dataset

__all__ = ["DATASETS", "BareLayout", "Dataset", "describe", "fetch"]
