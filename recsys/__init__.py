"""A collaborative-filtering recommender engine.

A log of interactions becomes a sparse matrix, the matrix becomes user and item embeddings, the
embeddings are published as one immutable version, and a version answers ``recommend(user_id)``.
"""

import lazy_loader

from recsys.base.drawer import draw_by

# The public names and their rooms are in __init__.pyi. A name is imported when it is first used, so
# that serving does not wait for packages that only training needs. For the same reason, and for no
# other, modules that `recsys.open` imports load some packages inside the functions that need them.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)

# The rooms describe what a notebook plots, and import no page: this one draws it.
draw_by("recsys.pages.charts")
