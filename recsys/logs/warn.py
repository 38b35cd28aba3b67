"""Warnings at the line of the caller of this package."""

import sys
import warnings
from types import FrameType


def warn(sentence: str) -> None:
    """Warn of what may be wrong with the data, at the line that called this package."""
    frame: FrameType | None = sys._getframe(1)
    level = 1
    while frame is not None and frame.f_globals.get("__name__", "").startswith("recsys."):
        frame, level = frame.f_back, level + 1
    warnings.warn(sentence, RuntimeWarning, stacklevel=level + 1)
