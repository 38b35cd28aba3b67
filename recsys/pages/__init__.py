"""Pages for people: dimension curves as pictures and as pages that need no other file."""

from recsys.pages.drawing import require_drawing, save_drawing

__all__ = ["require_drawing", "save_drawing"]
