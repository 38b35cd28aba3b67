"""Markdown pages as the tests read them: fenced blocks, links, anchors and code in the text."""

import re
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

ROOT = Path(__file__).parents[1]
DOCS = ROOT / "docs"
README = ROOT / "README.md"
GUIDES = (README, *sorted(DOCS.glob("*.md")))
"""The pages whose snippets run."""
ALL = (*GUIDES, ROOT / "CONTRIBUTING.md", ROOT / "benchmarks" / "README.md")
"""The pages whose links and names are checked."""

_FENCE = re.compile(r"^```(\w*)\n(.*?)^```$", flags=re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"!?\[[^\]]*\]\(([^)\s]+)\)")
_CODE = re.compile(r"`([^`]+)`")
_HEADING = re.compile(r"^#{1,6} (.+)$", flags=re.MULTILINE)


@dataclass(frozen=True)
class Block:
    """A fenced block, and the number of its first line in the page."""

    language: str
    text: str
    line: int


class Page:
    """One Markdown file."""

    def __init__(self, path: Path) -> None:
        self.path = path
        self.name = path.relative_to(ROOT).as_posix()
        self.text = path.read_text(encoding="utf-8")

    @cached_property
    def all_blocks(self) -> list[Block]:
        return [
            Block(found[1], found[2], self.text.count("\n", 0, found.start(2)) + 1)
            for found in _FENCE.finditer(self.text)
        ]

    def blocks(self, language: str) -> list[Block]:
        return [block for block in self.all_blocks if block.language == language]

    @cached_property
    def prose(self) -> str:
        """The text without its fenced blocks."""
        return _FENCE.sub("", self.text)

    @property
    def links(self) -> list[str]:
        return links_of(self.prose)

    @property
    def inline_code(self) -> list[str]:
        """What is between backquotes in the text; a line break there counts as a space."""
        return [" ".join(code.split()) for code in _CODE.findall(self.prose)]

    @property
    def anchors(self) -> set[str]:
        """The anchors that GitHub gives to the headings."""
        return {slug(heading) for heading in _HEADING.findall(self.prose)}

    @property
    def program(self) -> str:
        """The Python blocks as one program, each at the lines that it has in the page."""
        lines = [""] * self.text.count("\n")
        for block in self.blocks("python"):
            code = block.text.splitlines()
            lines[block.line - 1 : block.line - 1 + len(code)] = code
        return "\n".join(lines) + "\n"

    @property
    def commands(self) -> list[tuple[str, str]]:
        """Each command of the console blocks, with the output that the page shows for it."""
        found: list[tuple[str, str]] = []
        for block in self.blocks("console"):
            for line in block.text.splitlines():
                if line.startswith("$ "):
                    found.append((line[2:], ""))
                else:
                    command, output = found[-1]
                    found[-1] = (command, f"{output}{line}\n")
        return found


def links_of(text: str) -> list[str]:
    return _LINK.findall(text)


def slug(heading: str) -> str:
    kept = re.sub(r"[^\w\- ]", "", heading.strip().lower())
    return kept.replace(" ", "-")


_VERSION = re.compile(r"\d{8}T\d{6}Z-[0-9a-f]{8}")
_BORDER = re.compile("[\u2500-\u257f]+")
_TOKEN = re.compile(r"[+-]?\d[\d,]*(?:\.\d+)?|[^\W\d_]+|\S")
_NUMBER = re.compile(r"[+-]?\d")


def shows(page: str, printed: str) -> str | None:
    """Return the first line of a page's output that a command did not print, None if it did all.

    Lines are found in their order, others may stand between them; one that ends with three dots is
    the beginning of a printed one. Borders of tables and names of versions, which differ from run
    to run, do not count; numbers may differ by 2 %, as processors round differently.
    """
    rest = iter([_tokens(line) for line in printed.splitlines()])
    for line in page.splitlines():
        wanted = _tokens(line.removesuffix("..."))
        n = len(wanted) if line.endswith("...") else None
        if wanted and not any(_agree(wanted, got[:n]) for got in rest):
            return line
    return None


def _tokens(line: str) -> list[str]:
    return _TOKEN.findall(_BORDER.sub(" ", _VERSION.sub("VERSION", line)))


def _agree(wanted: list[str], got: list[str]) -> bool:
    return len(wanted) == len(got) and all(map(_alike, wanted, got))


def _alike(wanted: str, got: str) -> bool:
    if wanted == got or not (_NUMBER.match(wanted) and _NUMBER.match(got)):
        return wanted == got
    a, b = (float(number.replace(",", "")) for number in (wanted, got))
    return abs(a - b) <= 0.02 * max(abs(a), abs(b), 0.01)
