"""From the checkout to a folder of HTML; what is wrong on the way is returned, a sentence each."""

import io
import os
import re
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from sphinx.application import Sphinx

from docs.site.built import Built
from docs.site.commands import write_commands
from docs.site.docstrings import wrong_docstrings
from docs.site.names import write_names
from docs.site.pages import file_of, stage, with_toctree
from docs.site.routes import write_routes

HERE = Path(__file__).parent


def build(folder: Path) -> list[str]:
    """Build the site in a folder, in place of what it holds, and return what is wrong with it."""
    shutil.rmtree(folder, ignore_errors=True)
    with tempfile.TemporaryDirectory() as temporary:
        source = Path(temporary, "pages")
        _write_sources(source)
        found = list(_of_sphinx(source, folder, Path(temporary, "doctrees")))
    return [*wrong_docstrings(), *found, *Built(folder).errors()]


def _write_sources(source: Path) -> None:
    """Write the pages as Sphinx reads them, those that are made of the package among them."""
    stage(source)
    rooms = write_names(source)
    below = [write_commands(source), write_routes(source), *rooms]
    lines = [
        "- [All options](options.md): what `recsys COMMAND --help` prints.",
        "- [All routes](routes.md): the service over HTTP, with every argument and answer.",
        "\nThe docstrings of all public names, by room:\n",
        *(f"- [recsys.{Path(page).stem}]({page}): {line}" for page, line in rooms.items()),
    ]
    reference = source / "reference.md"
    text = reference.read_text(encoding="utf-8").rstrip()
    reference.write_text(with_toctree("\n".join([text, *lines, ""]), below), encoding="utf-8")


def _of_sphinx(source: Path, folder: Path, doctrees: Path) -> Iterator[str]:
    """Run Sphinx, and give its warnings, each with the file that a person would change."""
    warnings = io.StringIO()
    cores = os.cpu_count() or 1
    app = Sphinx(
        *(source, HERE, folder, doctrees, "html"), status=None, warning=warnings, parallel=cores
    )
    app.build()
    text = re.sub(r"\x1b\[[0-9;]*m", "", warnings.getvalue())  # without colours
    text = re.sub(rf"{re.escape(str(source))}/([\w./-]+)", lambda found: file_of(found[1]), text)
    yield from filter(str.strip, text.splitlines())
    for page in sorted(app.env.found_docs):  # what stops a process that writes pages is not raised
        if not (folder / f"{page}.html").exists():
            yield f"{page}: expected a page, got none; Sphinx could not write it"
