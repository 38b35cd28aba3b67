"""From a sparse matrix to embeddings: ALS, SVD, item2vec, and popularity as the baseline."""

from recsys.models.als import ALS
from recsys.models.item2vec import Item2Vec
from recsys.models.popularity import Popularity
from recsys.models.protocol import FoldIn, Model
from recsys.models.registry import MODELS, model_from, parameters_of
from recsys.models.svd import SVD

__all__ = [
    "ALS",
    "MODELS",
    "SVD",
    "FoldIn",
    "Item2Vec",
    "Model",
    "Popularity",
    "model_from",
    "parameters_of",
]
