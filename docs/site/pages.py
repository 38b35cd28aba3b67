"""Which page of the checkout is which page of the site, and how links lead from one to another.

The contents, docs/README.md, are the navigation: each of their sections becomes a page with those
that it links to below it. So there is one list of the pages, which is read on its own as well.
"""

import json
import re
import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from functools import partial
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTENTS = "docs/README.md"
ELSEWHERE = {
    CONTENTS: "index.md",
    "README.md": "readme.md",
    "CONTRIBUTING.md": "contributing.md",
    "CHANGELOG.md": "changelog.md",
    "benchmarks/README.md": "benchmarks.md",
    "data/README.md": "sample.md",
}
"""Pages whose name in the site is another; the others are called as in docs/."""

_NOT_SEARCHED = {"CHANGELOG.md": "---\nnosearch: true\n---\n\n"}
"""It has every word; what search should find is on the pages that it names."""

_FENCED = re.compile(r"(^```.*?^```$)", flags=re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"(?<=\]\()([^)\s#]+)(#[^)\s]*)?(?=\))")
_SECTION = re.compile(r"^## (.+)\n((?:(?!^## ).*\n?)*)", flags=re.MULTILINE)


@dataclass(frozen=True)
class Section:
    """A part of the contents: its heading, its text, and the pages that it links to."""

    title: str
    text: str
    pages: tuple[str, ...]

    @property
    def name(self) -> str:
        """The name of its own page."""
        return re.sub(r"\W+", "-", self.title.lower())


def page_of(path: str) -> str | None:
    """Return the page of the site that a file of the checkout is, None for other files."""
    if path in ELSEWHERE:
        return ELSEWHERE[path]
    file = Path(path)
    is_page = file.parent == Path("docs") and file.suffix in (".md", ".ipynb")
    return file.name if is_page else None


def file_of(page: str) -> str:
    """Return the file of the checkout that a page of the site is, or the page where it is none."""
    return next((path for path in files_of_pages() if page_of(path) == page), page)


def files_of_pages() -> list[str]:
    """Return the files of the checkout that are pages, from its root."""
    found = [path.relative_to(ROOT).as_posix() for path in (ROOT / "docs").iterdir()]
    return [path for path in sorted({*found, *ELSEWHERE}) if page_of(path)]


def stage(folder: Path) -> list[Section]:
    """Write the pages to a folder, as Sphinx reads them, and return the sections they are in."""
    folder.mkdir(parents=True)
    for path in files_of_pages():
        text = (ROOT / path).read_text(encoding="utf-8")
        text = f"{_NOT_SEARCHED.get(path, '')}{_moved(text, path, folder)}"
        (folder / str(page_of(path))).write_text(text, encoding="utf-8")
    contents = (folder / "index.md").read_text(encoding="utf-8")
    sections = [
        Section(found[1], found[2], _linked(found[2])) for found in _SECTION.finditer(contents)
    ]
    for section in sections:
        text = with_toctree(f"# {section.title}\n{section.text}", section.pages)
        page = folder / f"{section.name}.md"
        if page.exists():
            raise SystemExit(f"{CONTENTS}: expected a section that is called otherwise than {page}")
        page.write_text(text, encoding="utf-8")
    below = [f"{section.name}.md" for section in sections]
    (folder / "index.md").write_text(with_toctree(contents, below), encoding="utf-8")
    return sections


def with_toctree(text: str, pages: Sequence[str]) -> str:
    """Return a page that has others below it."""
    entries = "\n".join(pages)
    return f"{text}\n```{{toctree}}\n:hidden:\n\n{entries}\n```\n"


def _linked(text: str) -> tuple[str, ...]:
    """Return the pages that a text links to, each once."""
    found = (match[1] for match in _LINK.finditer(text) if "://" not in match[1])
    return tuple(dict.fromkeys(name for name in found if not name.startswith("files/")))


def _moved(text: str, path: str, folder: Path) -> str:
    """Return a page whose links are those of the site; files that it links to are copied."""
    follow = partial(_followed, path=path, folder=folder)
    if path.endswith(".ipynb"):
        content = json.loads(text)
        for cell in content["cells"]:
            if cell["cell_type"] == "markdown":
                cell["source"] = _LINK.sub(follow, "".join(cell["source"]))
        return json.dumps(content)
    parts = _FENCED.split(text)
    parts[::2] = [_LINK.sub(follow, part) for part in parts[::2]]
    return "".join(parts)


def _followed(link: re.Match[str], path: str, folder: Path) -> str:
    """Return the place in the site to which a link of a page leads."""
    target, anchor = link[1], link[2] or ""
    if re.match(r"\w+:", target):
        return link[0]
    file = (ROOT / path).parent.joinpath(target).resolve()
    if not file.is_relative_to(ROOT) or not file.exists():
        raise SystemExit(f"{path}: expected a link to a file, got {target}, which is not there")
    source = file.relative_to(ROOT).as_posix()
    if page := page_of(source):
        return f"{page}{anchor}"
    if file.is_dir():
        raise SystemExit(f"{path}: expected a link to a file, got the folder {target}")
    copy = folder / "files" / source
    copy.parent.mkdir(parents=True, exist_ok=True)
    shutil.copyfile(file, copy)
    if (dark := file.with_name(file.name.replace("-light.", "-dark."))).exists():
        shutil.copyfile(dark, copy.with_name(dark.name))
    return f"files/{source}{anchor}"
