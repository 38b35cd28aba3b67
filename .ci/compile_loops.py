"""Compile the hot loops into their cache, so that the first training need not wait for it.

The default training of a small log compiles what that of a large one calls; then each model, on top
of the version before, dislikes, which have loops of their own, attributes, sides that no cache
holds, and a map by UMAP.
"""

import tempfile
import warnings
from importlib.util import find_spec
from unittest.mock import patch

import numpy as np
import pandas as pd

import recsys
from recsys.features import ridge
from recsys.maps import vector_map
from recsys.models import MODELS
from recsys.models.als import rounding

warnings.simplefilter("ignore")  # a log of noise has no good model
rng = np.random.default_rng(0)
log = pd.DataFrame({"user_id": rng.integers(0, 400, 8_000), "item_id": rng.zipf(1.3, 8_000) % 500})
log["timestamp"] = np.arange(len(log)) * 3600
settings = {"gates.enabled": False}
with tempfile.TemporaryDirectory() as store:
    for model in (None, *MODELS):
        split = "none" if model is None else "time"
        named = {} if model is None else {"model.name": model}
        recsys.train(log, store, settings={**settings, **named, "evaluation.split": split})
    log["event"] = np.where(np.arange(len(log)) % 10, "view", "dislike")
    words = ["amber", "silver", "night", "castle", "river", "orbit", "the", "of"]
    titles = [" ".join(rng.choice(words, 4)) for _ in range(500)]
    items = pd.DataFrame({"item_id": range(500), "title": titles})
    settings |= {"model.name": "als", "evaluation.split": "none"}
    settings |= {"model.item_features": ["title"]}
    likes, signed = {"view": 1, "dislike": 0}, {"view": 1, "dislike": -1}
    in_halves, in_bytes = rounding._CACHED, 0  # how the vectors of a side are read
    for events, cached in ((likes, in_bytes), (signed, in_halves), (signed, in_bytes)):
        few = patch.object(ridge, "_WIDE", 0)  # else these features have no loops
        with few, patch.object(rounding, "_CACHED", cached):
            recsys.train(log, store, items=items, settings={**settings, "log.events": events})
    if find_spec("umap") is not None:
        vector_map(store, method="umap")
