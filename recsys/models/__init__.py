"""From a sparse matrix to embeddings, or to scores of items from a history."""

from recsys.models.als import ALS
from recsys.models.blend import Blend
from recsys.models.distilled import Distilled
from recsys.models.ease import EASE
from recsys.models.item2vec import Item2Vec
from recsys.models.item_to_item import ItemToItem
from recsys.models.neighbors import KNN
from recsys.models.popularity import Popularity
from recsys.models.protocol import Contributions, Epoch, FoldIn, Model, OnEpoch, popularity_of
from recsys.models.registry import MODELS, SCORERS, flat, model_from, nested, parameters_of
from recsys.models.softmax import Softmax
from recsys.models.svd import SVD

__all__ = [
    "ALS",
    "EASE",
    "KNN",
    "MODELS",
    "SCORERS",
    "SVD",
    "Blend",
    "Contributions",
    "Distilled",
    "Epoch",
    "FoldIn",
    "Item2Vec",
    "ItemToItem",
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
