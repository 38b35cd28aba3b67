"""What is wrong with built pages: links that lead nowhere, and what is loaded from elsewhere."""

import re
from collections.abc import Iterator
from functools import cached_property
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote, urlsplit

_LOADED = {"link": "href", "script": "src", "img": "src", "iframe": "src", "source": "src"}
_LOADED |= {"video": "src", "audio": "src", "embed": "src", "object": "data", "use": "href"}
_SELF = {"canonical", "next", "prev", "search", "index", "author", "license"}
"""Relations of a <link> that load nothing."""
_OF_CSS = re.compile(r"url\(\s*['\"]?([^'\")]+)|@import\s+['\"]([^'\"]+)")


class Page(HTMLParser):
    """One page: the places that can be linked to, links, and what the browser loads for it."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.path = path
        self.anchors: set[str] = set()
        self.links: list[str] = []
        self.loads: list[str] = []
        self.feed(path.read_text(encoding="utf-8"))

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        """Keep what is of interest of an element."""
        values = {name: value or "" for name, value in attrs}
        self.anchors |= {values[name] for name in ("id", "name") if values.get(name)}
        if tag == "a" and values.get("href"):
            self.links.append(values["href"])
        key = _LOADED.get(tag)
        if key and values.get(key) and values.get("rel") not in _SELF:
            self.loads.append(values[key])


class Built:
    """The folder of a built site."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    @cached_property
    def pages(self) -> dict[Path, Page]:
        """Every page by its file."""
        return {path: Page(path) for path in sorted(self.folder.rglob("*.html"))}

    def errors(self) -> Iterator[str]:
        """Give a sentence for each thing that is wrong."""
        for page in self.pages.values():
            name = page.path.relative_to(self.folder)
            for link in page.links:
                if not _is_elsewhere(link) and not self._leads_somewhere(page, link):
                    yield f"{name}: expected a link to a page and a place in it, got {link}"
            for link in page.loads:
                if _is_elsewhere(link) and not link.startswith("data:"):
                    yield f"{name}: expected nothing from elsewhere, got {link}"
        for path in sorted(self.folder.rglob("*.css")):
            for found in _OF_CSS.finditer(path.read_text(encoding="utf-8")):
                link = found[1] or found[2]
                if _is_elsewhere(link) and not link.startswith("data:"):
                    name = path.relative_to(self.folder)
                    yield f"{name}: expected nothing from elsewhere, got {link}"

    def _leads_somewhere(self, page: Page, link: str) -> bool:
        parts = urlsplit(link)
        file = page.path if not parts.path else (page.path.parent / unquote(parts.path)).resolve()
        if file not in self.pages:
            return file.is_file()
        return not parts.fragment or unquote(parts.fragment) in self.pages[file].anchors


def _is_elsewhere(link: str) -> bool:
    return bool(re.match(r"//|[\w+.-]+:", link))
