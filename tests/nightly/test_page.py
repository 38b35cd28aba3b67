"""The page at the end of a night: also of what a gate refused, and never a fault of the night."""

from pathlib import Path

import pytest

from recsys.cli.report import save_page_of_night
from recsys.errors import GateFailedError
from recsys.store import Check, publish
from tests.store.releases import small_release

REFUSAL = Check("as_good_as_current", 0.1, 0.5, False, "as_good_as_current: it is not", True)


def test_a_refused_version_has_a_page(tmp_path: Path) -> None:
    run = tmp_path / "runs" / "20261120T020000Z"
    run.mkdir(parents=True)
    with pytest.raises(GateFailedError) as refused:
        publish(tmp_path, small_release(), gate=lambda staged, parent: [REFUSAL])
    save_page_of_night(tmp_path, refused.value.version)
    page = (run / "report.html").read_text(encoding="utf-8")
    assert "A gate refused this version: it never became current." in page
    assert "0 of 1 passed; refused by as_good_as_current." in page


def test_a_page_that_cannot_be_made_fails_no_night(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    save_page_of_night(tmp_path, "20261120T020000Z-3f2a91bc")
    assert capsys.readouterr().err.startswith("recsys: warning: no page of the night: ")
