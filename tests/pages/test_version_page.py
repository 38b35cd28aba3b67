"""The report of a version: what it says, also of small, untested, refused and hostile versions."""

import json
import re
import sys
from dataclasses import replace
from html.parser import HTMLParser
from pathlib import Path

import pyarrow as pa
import pytest

from recsys.errors import ConfigError, StoreError, VersionNotFoundError
from recsys.logs import RowCounts
from recsys.monitoring.version_report import version_report
from recsys.pages.version_page import save_version_page, version_page
from recsys.store import Check, Version, publish
from recsys.store.group_summary import GroupSummary
from tests.store.releases import MEASURED, ODD_IDS, small_release

HOSTILE = [
    *("<script>alert(1)</script>", '" onload="x', "مرحبا", "😀 & co", "\x1b[31m", ""),
    "x" * 9_000,
]


class Texts(HTMLParser):
    """The words of a page, that its tags are closed in order, and that its ids are there once."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self.open: list[str] = []
        self.words: list[str] = []
        self.ids: list[str] = []
        self.links: list[str] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = dict(attrs)
        assert not {name for name in given if name.startswith("on")}
        assert "style" not in given  # which the policy of the page forbids
        self.links += [str(given["href"])] if tag == "a" else []
        if "id" in given and tag not in ("path", "clippath"):
            self.ids.append(str(given["id"]))
        if tag not in ("meta", "link"):
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        assert "style" not in dict(attrs)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag

    def handle_data(self, data: str) -> None:
        self.words.append(data)


def measured(value: float) -> dict[str, object]:
    metrics = {"ndcg@20": value, "recall@20": value / 2}
    intervals = {name: (one - 0.01, one + 0.01) for name, one in metrics.items()}
    return {"als": type(MEASURED)(20, 12, 30, metrics, intervals, {"users without test items": 3})}


@pytest.fixture
def nights(tmp_path: Path) -> list[Version]:
    popular = {"popularity": MEASURED}
    first = publish(tmp_path, small_release(metrics=measured(0.4) | popular))
    checks = (
        Check("list_churn", 0.2, 0.3, True, "list_churn 0.2 (limit 0.3): 20% changed"),
        Check("as_good_as_current", 0.4, 0.5, False, "as_good_as_current: it is not"),
    )
    rules = {"boost": [{"where": "price < 5", "times": 2.0}], "pin": [], "sold_out": None}
    release = small_release(seed=1, metrics=measured(0.3) | popular, config={"rules": rules})
    second = publish(tmp_path, release, gate=lambda staged, parent: checks)
    return [first, second]


def test_a_report_stands_beside_parent_and_popularity(
    nights: list[Version], tmp_path: Path
) -> None:
    first, second = nights
    report = version_report(tmp_path)
    sections = {section.title: section for section in report.sections}
    accuracy = sections["Accuracy"].tables[0]
    assert accuracy.headings == ["metric", "als", "popularity", "parent"]
    assert accuracy.rows[0] == [
        "ndcg@20",
        "0.3000 (0.2900 to 0.3100)",
        "0.5000 (0.4000 to 0.6000)",
        "0.4000 (0.3900 to 0.4100)",
    ]
    assert report.figures[0] == ("ndcg@20", "0.3000", "popularity 0.5000, parent 0.4000")
    assert report.figures[1] == ("checks not passed", "1 of 2", "as_good_as_current")
    assert [row[:4] for row in sections["Gates"].tables[0].rows] == [
        ["as_good_as_current", "0.4", "0.5", "no"]
    ]
    (drift,) = sections["Drift and churn"].charts
    assert [(dot.name, round(dot.value, 3)) for dot in drift.dots] == [("list_churn", 0.667)]
    assert sections["Rules"].tables[0].rows == [["boost", "where price < 5, times 2.0"]]
    assert [row[0] for row in sections["Ancestors"].tables[0].rows] == [second.name, first.name]
    assert [*sections["Ancestors"].charts[0].lines[0].y] == [0.4, 0.3]
    earlier = version_report(tmp_path, first.name)
    assert earlier.version == first.name


def test_ten_users_are_of_all_lengths_and_the_same_again(
    nights: list[Version], tmp_path: Path
) -> None:
    report, again = version_report(tmp_path), version_report(tmp_path)
    assert report.users == again.users
    assert len({user.user_id for user in report.users}) == 10
    lengths = [user.n_seen for user in report.users]
    assert lengths == sorted(lengths)
    for user in report.users:
        assert len(user.history) == min(user.n_seen, 10)
        seen = set(user.history)
        assert not seen & {title for title, _ in user.items}
        if user.source == "personal":
            assert all(reason in seen or user.n_seen > 10 for _, reason in user.items)
    (tail,) = next(one for one in report.sections if one.title.startswith("Long tail")).charts
    assert all(line.y[0] == 0 and line.y[-1] == pytest.approx(100) for line in tail.lines)


def test_a_page_is_one_file_that_asks_nobody(nights: list[Version], tmp_path: Path) -> None:
    path = tmp_path / "page.html"
    n_bytes = save_version_page(version_report(tmp_path), path)
    page = path.read_text(encoding="utf-8")
    assert n_bytes == path.stat().st_size < 300_000
    texts = Texts(page)
    assert texts.open == []
    assert len(set(texts.ids)) == len(texts.ids)
    assert {link.removeprefix("#") for link in texts.links} <= set(texts.ids)
    assert "default-src 'none'" in page
    assert "script-src 'none'" in page
    assert not re.search(r"https?://(?!www\.w3\.org/)", page)
    assert page.count("<svg") >= 4
    assert "system-ui" in page


def test_without_matplotlib_the_tables_stay(
    nights: list[Version], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = version_page(version_report(tmp_path))
    assert "<svg" not in page
    assert "pip install &#x27;recsys-engine[reports]&#x27;" in page
    assert "0.3000 (0.2900 to 0.3100)" in page


def test_ids_and_titles_are_words(tmp_path: Path) -> None:
    titles = pa.array([HOSTILE[row % len(HOSTILE)] for row in range(30)])
    release = small_release(n_users=len(ODD_IDS), user_ids=ODD_IDS)
    attributes = pa.table({"item_id": release.items.values, "title": titles})
    publish(tmp_path, small_release(n_users=len(ODD_IDS), user_ids=ODD_IDS, attributes=attributes))
    page = version_page(version_report(tmp_path))
    texts = Texts(page)
    assert texts.open == []
    assert "<script" not in page
    assert "\x1b" not in page
    assert HOSTILE[0] in texts.words
    assert max(map(len, texts.words)) < 20_000
    assert len(page.encode()) < 500_000  # of 2 MB: what others wrote is cut


@pytest.mark.parametrize(("n_users", "titles"), [(1, False), (3, True)])
def test_a_small_version_without_a_test_has_a_report(
    tmp_path: Path, n_users: int, titles: bool
) -> None:
    changes = {} if titles else {"attributes": None}
    publish(tmp_path, small_release(n_users=n_users, metrics={}, **changes))
    report = version_report(tmp_path)
    assert len(report.users) == n_users
    words = version_page(report)
    assert "recsys evaluate LOG tests its model" in words
    assert "There is no version before it" in words


def test_what_is_not_there_or_damaged_is_said(nights: list[Version], tmp_path: Path) -> None:
    with pytest.raises(VersionNotFoundError, match="holds no version 'nope'"):
        version_report(tmp_path, "nope")
    (nights[0].folder / "manifest.json").write_text("{")
    report = version_report(tmp_path)  # of its child
    assert any("is not in the store any more" in one for one in report.sections[0].sentences)
    (nights[1].folder / "items.parquet").write_bytes(b"no")
    with pytest.raises(StoreError):
        version_report(tmp_path)


def test_a_place_where_no_page_can_be_is_one_sentence(
    nights: list[Version], tmp_path: Path
) -> None:
    (tmp_path / "file").write_text("")
    with pytest.raises(ConfigError, match=r"^--out: expected to write the report to .*page\.html"):
        save_version_page(version_report(tmp_path), tmp_path / "file" / "page.html")


def test_groups_the_log_and_the_night_are_shown(tmp_path: Path) -> None:
    groups = [
        GroupSummary("activity in train", "ndcg@20", "1 - 2 items", 7, 0.2, (0.1, 0.3)),
        GroupSummary("activity in train", "ndcg@20", "3 - 9 items", 1, 0.4, (None, None), True),
    ]
    metrics = {"als": replace(MEASURED, groups=tuple(groups))}
    counts = RowCounts(rows_read=10, rejected={"no item id": 2}, left_out={"too old": 1})
    data = {"run": "20261120T020000Z", "account": counts.to_dict(), "days": {"a": 1, "b": 2}}
    publish(tmp_path, small_release(metrics=metrics, data=data))
    night = {"name": "train", "status": "done", "seconds": 1.5, "peak_bytes": 2_000_000}
    report = {"stages": [{**night, "facts": {"factors": 8}}], "result": "done", "seconds": 2.0}
    folder = tmp_path / "runs" / "20261120T020000Z"
    folder.mkdir(parents=True)
    (folder / "report.json").write_text(json.dumps(report | {"warnings": ["it was late"]}))
    sections = {section.title: section for section in version_report(tmp_path).sections}
    assert sections["Groups"].tables[0].rows == [
        ["1 - 2 items", "7", "0.2000 (0.1000 to 0.3000)", ""],
        ["3 - 9 items", "1", "0.4000", "yes"],
    ]
    made = sections["What it was made of"]
    assert made.sentences == ["10 rows were read, and 2 of them rejected (20.00%)."]
    assert made.tables[1].rows == [
        ["rejected", "no item id", "2"],
        ["left out on request", "too old", "1"],
    ]
    assert sections["The night"].tables[0].rows == [["train", "done", "1.50", "2", "factors 8"]]
    assert sections["The night"].sentences[1] == "Warning: it was late"
    (folder / "report.json").write_text("[]")
    (kept,) = version_report(tmp_path).sections[-1].sentences
    assert kept == "The report of night 20261120T020000Z is not kept any more."


def test_an_item_with_a_blank_title_is_named_by_its_id(tmp_path: Path) -> None:
    release = small_release()
    titles = [(None, "", "  ")[row % 3] for row in range(len(release.items))]
    attributes = pa.table({"item_id": release.items.values, "title": titles})
    publish(tmp_path, replace(release, attributes=attributes))
    ids = set(release.items.values.to_pylist())
    for user in version_report(tmp_path).users:
        assert {*user.history, *(item for item, _ in user.items)} <= ids
