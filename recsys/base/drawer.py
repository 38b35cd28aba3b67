"""Draw charts by a room above: the front door names it, as the ground imports no room.

`import recsys` reads this module, so it imports nothing but what Python has imported already.
"""

import sys

_named = [""]


def draw_by(module: str) -> None:
    """Name the module whose `figures` draws charts; it is imported when there is one to draw."""
    _named[0] = module


def drawn(charts: object) -> str:
    """Return charts as HTML, empty where nothing draws them."""
    if not charts or not _named[0]:
        return ""
    __import__(_named[0])
    html: str = sys.modules[_named[0]].figures(charts)
    return html
