"""Metrics and protocols: how good embeddings are on held-out interactions."""

from recsys.evaluation.metrics import METRICS, RankedHits
from recsys.evaluation.protocol import evaluate
from recsys.evaluation.result import Evaluation

__all__ = ["METRICS", "Evaluation", "RankedHits", "evaluate"]
