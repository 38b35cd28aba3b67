"""A collaborative-filtering recommender engine.

A log of interactions becomes a sparse matrix, the matrix becomes user and item embeddings, the
embeddings are published as one immutable version, and a version answers ``recommend(user_id)``.
"""

import lazy_loader

# The public names and their rooms stand in __init__.pyi. A name is imported when it is first
# used, so that serving does not wait for packages that only training needs.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
