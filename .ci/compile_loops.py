"""Compile the hot loops into their cache, so that the first training need not wait for it.

The default training of a small log compiles what that of a large one calls.
"""

import tempfile
import warnings

import numpy as np
import pandas as pd

import recsys

warnings.simplefilter("ignore")  # a log of noise has no good model
rng = np.random.default_rng(0)
log = pd.DataFrame({"user_id": rng.integers(0, 400, 8_000), "item_id": rng.zipf(1.3, 8_000) % 500})
settings = {"evaluation.split": "none", "gates.enabled": False}
with tempfile.TemporaryDirectory() as store:
    recsys.train(log, store, settings=settings)
