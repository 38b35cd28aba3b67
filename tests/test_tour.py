"""The notebook of the documentation runs, and shows what it keeps."""

import json
from pathlib import Path

from tests.command_line import run_program
from tests.markdown import DOCS, ROOT, links_of, shows
from tests.notebook import Notebook, texts_of

TOUR = Notebook(DOCS / "tour.ipynb")
RUN = """
import json, sys
from pathlib import Path
from tests.notebook import Notebook
print(json.dumps(Notebook(Path(sys.argv[1])).run()))
"""


def test_the_tour_runs_and_shows_what_it_keeps(tmp_path: Path) -> None:
    (tmp_path / "data").symlink_to(ROOT / "data")
    (tmp_path / "docs").mkdir()
    done = run_program(RUN, TOUR.path, cwd=tmp_path / "docs")
    assert done.returncode == 0, done.stderr
    for cell, outputs in zip(TOUR.cells, json.loads(done.stdout), strict=True):
        if "varies" in cell["metadata"].get("tags", ()):  # p-values: as processors round
            continue
        kept, shown = texts_of(cell["outputs"]), texts_of(outputs)
        missing = shows(kept, shown)
        assert missing is None, (
            f"{''.join(cell['source'])}\nshows no line {missing!r}, but\n{shown}"
        )


def test_the_links_of_the_tour_lead_somewhere() -> None:
    links = links_of(TOUR.text)
    assert links
    for link in links:
        assert (DOCS / link).exists(), link
