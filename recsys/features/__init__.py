"""Attributes of items and users as numbers, and the linear map from them to embeddings.

A table of attributes and the names of some of its columns become a sparse float32 matrix with named
columns. What is learned on the way (categories, words, knots) is a `FeatureEncoder`, which encodes
a later table in the same way and is kept in a version::

    encoder = FeatureEncoder.learn(table, ["category", "price", "title"])
    rows = Encoded.of(encoder, table, Ids(table["item_id"]))
    features = Features(items=rows.of(log.items))       # csr (n_items, n_features)
    embeddings = ALS().fit(log, features=features)      # .item_map is (n_features, factors)

`Model.fit` with features returns embeddings with `item_map` and `user_map`, W: an item that nobody
has touched has the embedding ``F W`` of its row of features, as `vectors_of_features` returns it,
and what W leaves of the known items that are most alike (`KnownItems`); so has a column of the
matrix without any weight, and a row ``F W`` alone. ALS regularizes each row towards its ``F W`` and
solves W anew each epoch; for other models W is found after the fit (`feature_map`).
"""

from recsys.features.alike import KnownItems
from recsys.features.columns import FEATURE_KINDS, FeatureKind
from recsys.features.described import (
    Described,
    FeatureMap,
    facts_of,
    features_of,
    users_by_attributes,
)
from recsys.features.encoder import Encoded, FeatureEncoder
from recsys.features.factored import FeatureRows
from recsys.features.features import Features
from recsys.features.ridge import Ridge, feature_map, vectors_of_features

__all__ = [
    "FEATURE_KINDS",
    "Described",
    "Encoded",
    "FeatureEncoder",
    "FeatureKind",
    "FeatureMap",
    "FeatureRows",
    "Features",
    "KnownItems",
    "Ridge",
    "facts_of",
    "feature_map",
    "features_of",
    "users_by_attributes",
    "vectors_of_features",
]
