"""Lists that are the same for everybody, against a twin that sorts the whole catalogue."""

from datetime import UTC, date, datetime
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import scipy.sparse as sp

from recsys.errors import DataError
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import ItemTimes, ModelSpec, Release, publish
from recsys.vectors import Embeddings, Ids

N = 40
POPULARITY = np.arange(N) % 7
RECENT = (np.arange(N) % 5 + 0.5).astype(np.float32)
VELOCITY = (np.arange(N) % 3 + 0.25).astype(np.float32)
FIRST_DAY = (20_000 + np.arange(N) % 11).astype(np.float32)
RELEASED = [None if row % 9 == 4 else date(2020 + row % 6, 1, 1 + row % 3) for row in range(N)]


def opened(store: Path, columns: list[str], **changes) -> Recommender:
    rng = np.random.default_rng(0)
    names = [f"i{row}" for row in range(N)]
    release = Release(
        Embeddings(
            rng.standard_normal((3, 4), np.float32), rng.standard_normal((N, 4), np.float32)
        ),
        Ids(["a", "b", "c"]),
        Ids(names),
        sp.csr_array((3, N), dtype=np.float32),
        POPULARITY,
        ModelSpec("svd", {}),
        attributes=pa.table(
            {
                "item_id": names,
                "released": pa.array(RELEASED, pa.date32()),
                "price": np.arange(N)[::-1] / 2.0,
                "kind": ["even" if row % 2 == 0 else "odd" for row in range(N)],
            }
        ).select(["item_id", *columns]),
        **{"recent": RECENT} | changes,
    )
    publish(store, release, IndexSettings(kind="exact"))
    return open_store(store)


@pytest.fixture(scope="module")
def recommender(tmp_path_factory: pytest.TempPathFactory) -> Recommender:
    times = ItemTimes(FIRST_DAY, VELOCITY, np.zeros(N, np.float32), np.ones(N, np.float32))
    return opened(tmp_path_factory.mktemp("top"), ["released", "price", "kind"], times=times)


def seconds(day: date) -> float:
    return datetime(day.year, day.month, day.day, tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("by", "key"),
    [
        ("popular", lambda row: (-POPULARITY[row], row)),
        ("trending", lambda row: (-VELOCITY[row], -POPULARITY[row], row)),
        ("latest", lambda row: (-seconds(RELEASED[row]), row)),
    ],
)
@pytest.mark.parametrize("where", [None, "kind = 'odd'"])
def test_a_list_is_that_of_a_sorted_catalogue(
    recommender: Recommender, by: str, key, where: str | None
) -> None:
    rows = [
        row
        for row in range(N)
        if (by != "latest" or RELEASED[row] is not None) and (where is None or row % 2)
    ]
    expected = [f"i{row}" for row in sorted(rows, key=key)]
    found = recommender.top_items(by, N, where=where)
    assert [item_id for item_id, _ in found] == expected
    assert found.source == by
    assert recommender.top_items(by, 3, where=where).items == found.items[:3]


def test_scores_are_users_or_seconds(recommender: Recommender) -> None:
    assert recommender.top_items("popular", 1)[0].score == 6
    newest = recommender.top_items("latest", 1)[0]
    assert newest.score == seconds(RELEASED[int(newest.item_id[1:])])
    assert recommender.top_items("latest", 1, column="price")[0] == ("i0", (N - 1) / 2)


def test_conditions_of_a_list_hold(recommender: Recommender) -> None:
    found = recommender.top_items("popular", 4, exclude=["i6"], max_per="kind:1")
    assert [item_id for item_id, _ in found] == ["i13", "i20"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ({"by": "newest"}, "by: expected"),
        ({"by": "latest", "column": "kind"}, "column of dates or numbers"),
        ({"by": "latest", "column": ["price"]}, "column of dates or numbers"),
        ({"by": ["latest"]}, 'by: expected "popular", "trending" or "latest"'),
        ({"by": "popular", "column": "price"}, 'with by="latest" alone'),
    ],
)
def test_what_cannot_be_listed_is_named(recommender: Recommender, arguments, message: str) -> None:
    with pytest.raises(DataError, match=message):
        recommender.top_items(**arguments)


def test_what_the_log_says_stands_in_for_what_is_not_there(tmp_path: Path) -> None:
    times = ItemTimes(FIRST_DAY, np.full(N, np.nan, np.float32), *np.ones((2, N), np.float32))
    short = opened(tmp_path / "short", ["kind"], times=times)
    newest = short.top_items("latest", 3, where="kind = 'odd'")
    assert [item_id for item_id, _ in newest] == ["i21", "i9", "i31"]  # of days 10 and 9
    assert newest[0].score == 20_010 * 86_400
    with pytest.raises(DataError, match="one shorter than two days"):
        short.top_items("trending")
    older = opened(tmp_path / "older", ["kind"])  # made before there was velocity
    rows = sorted(range(N), key=lambda row: (-RECENT[row], -POPULARITY[row], row))
    assert [one.item_id for one in older.top_items("trending", N)] == [f"i{row}" for row in rows]
    with pytest.raises(DataError, match="got none, nor events with times"):
        older.top_items("latest")
    timeless = opened(tmp_path / "timeless", ["kind"], recent=None)
    with pytest.raises(DataError, match="trained on one without; ask for popular"):
        timeless.top_items("trending")
