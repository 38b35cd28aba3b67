"""What forks of this process would each load at their first use: a third of a small training.

Numba registers its types with the first compiled function that is called, and pydantic its own
with the first config. Neither starts a thread. What is there is then left out of garbage
collection, which would copy it in each fork: import this last.
"""

import gc

import numpy as np
import pydantic

from recsys.base.jit import nth

nth(np.arange(3.0), 1)
pydantic.TypeAdapter(int)
gc.collect()
gc.freeze()
