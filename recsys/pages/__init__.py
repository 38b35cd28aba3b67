"""Pages for people: dimension curves, maps and reports of versions, as pages of one file."""

from recsys.pages.drawing import require_drawing, save_drawing
from recsys.pages.map_page import map_page, save_map

__all__ = ["map_page", "require_drawing", "save_drawing", "save_map"]
