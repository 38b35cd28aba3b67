"""What `make docs` finds wrong. `make test` builds the site before; a browser opens it."""

from pathlib import Path
from typing import Any

import pytest

import recsys
from docs.site import docstrings, pages
from docs.site.built import Built
from docs.site.docstrings import wrong_docstrings
from docs.site.names import Name, public_names
from tests.markdown import GUIDES, ROOT


def test_every_guide_is_a_page_of_a_section(tmp_path: Path) -> None:
    sections = pages.stage(tmp_path / "pages")
    listed = [name for section in sections for name in section.pages]
    guides = {pages.page_of(path.relative_to(ROOT).as_posix()) for path in GUIDES}
    assert set(listed) >= guides - {"index.md"}
    assert len(listed) == len(set(listed))


def test_links_lead_from_page_to_page_and_files_go_with_them(tmp_path: Path) -> None:
    pages.stage(tmp_path / "pages")
    contents = (tmp_path / "pages" / "index.md").read_text()
    assert "(readme.md)" in contents
    readme = (tmp_path / "pages" / "readme.md").read_text()
    assert "(files/docs/recsys.svg)" in readme
    assert "(results.md#accuracy-on-gowalla)" in readme
    assert (tmp_path / "pages" / "files" / "docs" / "recsys.svg").exists()


def test_a_link_to_no_file_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs" / "README.md").write_text("[a](nowhere.md)")
    monkeypatch.setattr(pages, "ROOT", tmp_path)
    monkeypatch.setattr(pages, "ELSEWHERE", {pages.CONTENTS: "index.md"})
    with pytest.raises(SystemExit, match="docs/README.md: expected a link to a file, got nowhere"):
        pages.stage(tmp_path / "pages")


def test_warnings_name_the_file_of_the_checkout() -> None:
    assert pages.file_of("readme.md") == "README.md"
    assert pages.file_of("serving.md") == "docs/serving.md"
    assert pages.file_of("api/models.rst") == "api/models.rst"


@pytest.mark.parametrize(
    ("html", "wrong"),
    [
        ('<a href="b.html#there">b</a>', []),
        ('<a href="https://example.org">elsewhere, when it is clicked</a>', []),
        ('<a href="c.html">c</a>', ["c.html"]),
        ('<a href="b.html#nowhere">b</a>', ["b.html#nowhere"]),
        ('<a href="#here">a</a>', ["#here"]),
        ('<script src="https://cdn.example/x.js"></script>', ["https://cdn.example/x.js"]),
        ('<link rel="stylesheet" href="//fonts.example/f.css">', ["//fonts.example/f.css"]),
        ('<link rel="next" href="https://example.org/b.html">', []),
        ('<img src="data:image/png;base64,AA==">', []),
    ],
)
def test_the_check_of_pages_sees_what_is_wrong(html: str, wrong: list[str], tmp_path: Path) -> None:
    (tmp_path / "a.html").write_text(html)
    (tmp_path / "b.html").write_text('<h2 id="there">There</h2>')
    found = list(Built(tmp_path).errors())
    assert len(found) == len(wrong)
    assert all(one.endswith(f"got {link}") for one, link in zip(found, wrong, strict=True))


def test_the_check_of_styles_sees_a_font_from_elsewhere(tmp_path: Path) -> None:
    (tmp_path / "a.css").write_text("a { src: url('x.woff2') } b { src: url(https://f.example/f) }")
    (found,) = Built(tmp_path).errors()
    assert found == "a.css: expected nothing from elsewhere, got https://f.example/f"


def test_every_public_name_is_in_the_reference_once() -> None:
    names = public_names()
    assert len({name.path for name in names}) == len(names)
    front = {name.path for name in names if name.path.count(".") == 1}
    modules = {f"recsys.{name}" for name in recsys.__all__} - front
    assert all(type(getattr(recsys, name.split(".")[1])).__name__ == "module" for name in modules)


class Documented:
    """A class with a method that has no docstring."""

    def method(self, k: int) -> None:
        """Do nothing.

        Parameters
        ----------
        n : int
            There is no such parameter.
        """

    def bare(self) -> None: ...


@pytest.mark.parametrize(
    ("value", "wrong"),
    [
        (Documented, ["recsys.X.bare: expected a docstring, got none"]),
        (frozenset(), ["recsys.X: expected a docstring below it, got none"]),
    ],
)
def test_the_check_of_docstrings_sees_what_is_missing(
    value: Any, wrong: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(docstrings, "public_names", lambda: [Name("recsys.X", value, "base")])
    monkeypatch.setattr(docstrings, "is_ours", lambda value: True)
    monkeypatch.setattr(docstrings, "validate", lambda path: {"errors": []})
    assert wrong_docstrings() == wrong


def test_the_check_of_docstrings_sees_a_parameter_that_there_is_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    name = Name(f"{__name__}.Documented.method", Documented.method, "base")
    monkeypatch.setattr(docstrings, "public_names", lambda: [name])
    (found,) = wrong_docstrings()
    assert "Unknown parameters {'n'}" in found


def test_every_public_name_has_a_docstring() -> None:
    assert wrong_docstrings() == []


def test_pictures_are_small_and_there_for_light_and_dark() -> None:
    pictures = list((ROOT / "docs").glob("*.png"))
    for picture in pictures:
        assert picture.stat().st_size <= 100_000, picture
    names = {path.stem.rpartition("-")[0] for path in pictures}
    assert {path.stem for path in pictures} == {
        f"{name}-{scheme}" for name in names for scheme in ("light", "dark")
    }
