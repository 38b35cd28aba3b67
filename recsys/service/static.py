"""The pages of the service: files without data, which ask the routes for it."""

from functools import cache
from importlib.resources import files

from recsys.service.handlers import Reply
from recsys.service.problems import ProblemError

HTML = b"text/html; charset=utf-8"
CSS = b"text/css; charset=utf-8"
_MEDIA = {
    "css": CSS,
    "js": b"text/javascript; charset=utf-8",
    "html": HTML,
}
POLICY = (
    b"default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; "
    b"img-src 'self' data:; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
)
"""Of a page: nothing is loaded from elsewhere, and no script stands in it."""
_SHARED = "page.css"  # of all pages, also of those that no service shows
FILES = (
    *(_SHARED, "asking.css"),
    *("explore.js", "lists.js", "address.js", "items.js", "picker.js"),
    *("dashboard.js", "metrics.js"),
    *("ask.js", "dom.js"),
)
"""What pages load."""


def page(name: str) -> Reply:
    """Return a page."""
    return Reply(_read(f"{name}.html"), media=HTML, is_page=True)


def file(name: str) -> Reply:
    """Return a file that pages load."""
    if name not in FILES:
        raise ProblemError("no_route", "expected a file of the pages")
    return Reply(_read(name), media=_MEDIA[name.rpartition(".")[2]], is_page=True)


@cache
def _read(name: str) -> bytes:
    folder = files("recsys.pages")
    return (folder if name == _SHARED else folder / "served").joinpath(name).read_bytes()
