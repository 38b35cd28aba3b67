"""From a sparse matrix to embeddings: ALS, SVD, item2vec, softmax, distilled; and popularity."""

from recsys.models.als import ALS
from recsys.models.blend import Blend
from recsys.models.distilled import Distilled
from recsys.models.item2vec import Item2Vec
from recsys.models.popularity import Popularity
from recsys.models.protocol import Contributions, Epoch, FoldIn, Model, OnEpoch, popularity_of
from recsys.models.registry import MODELS, flat, model_from, nested, parameters_of
from recsys.models.softmax import Softmax
from recsys.models.svd import SVD

__all__ = [
    "ALS",
    "MODELS",
    "SVD",
    "Blend",
    "Contributions",
    "Distilled",
    "Epoch",
    "FoldIn",
    "Item2Vec",
    "Model",
    "OnEpoch",
    "Popularity",
    "Softmax",
    "flat",
    "model_from",
    "nested",
    "parameters_of",
    "popularity_of",
]
