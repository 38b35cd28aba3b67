"""Public interaction logs: a registry, and downloads that are verified."""

from recsys.datasets.fetch import fetch
from recsys.datasets.public_logs import DATASETS, Dataset, describe

__all__ = ["DATASETS", "Dataset", "describe", "fetch"]
