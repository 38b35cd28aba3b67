"""Pictures and pages for people."""

import lazy_loader

# The names stand in __init__.pyi: a list of versions does not wait for what measures models.
__getattr__, __dir__, __all__ = lazy_loader.attach_stub(__name__, __file__)
