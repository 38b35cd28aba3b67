"""From a sparse matrix to embeddings: ALS, SVD, item2vec, softmax, blends; and popularity."""

from recsys.models.als import ALS
from recsys.models.blend import Blend
from recsys.models.item2vec import Item2Vec
from recsys.models.popularity import Popularity
from recsys.models.protocol import Contributions, FoldIn, Model
from recsys.models.registry import MODELS, model_from, parameters_of
from recsys.models.softmax import Softmax
from recsys.models.svd import SVD

__all__ = [
    "ALS",
    "MODELS",
    "SVD",
    "Blend",
    "Contributions",
    "FoldIn",
    "Item2Vec",
    "Model",
    "Popularity",
    "Softmax",
    "model_from",
    "parameters_of",
]
