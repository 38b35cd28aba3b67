"""The small plot of a map: what it is coloured by, what is named, and that a sample is said so."""

import numpy as np
import pyarrow as pa
import pytest

from recsys.maps.shown import cloud_plot

N = 40
GENRES = ("Sea|Fun", "Space|Fun", "Sea", "Space")


def points(**columns: list[object]) -> pa.Table:
    rng = np.random.default_rng(0)
    return pa.table(
        {
            "item_id": [f"i{row}" for row in range(N)],
            "x": rng.normal(size=N).astype("f4"),
            "y": rng.normal(size=N).astype("f4"),
            "popularity": np.arange(N),
            **columns,
        }
    )


def test_the_attribute_that_many_share_has_the_colours() -> None:
    table = points(
        title=[f"Title {row}" for row in range(N)],
        genres=[GENRES[row % 4] for row in range(N - 1)] + [None],
        author=[f"A {row}" for row in range(N)],
        price=list(range(N)),
    )
    plot = cloud_plot(table, 100, "items")
    assert plot.title == "40 of 100 items, by genres"
    assert {cloud.name: len(cloud.x) for cloud in plot.clouds} == {"Space": 19, "Sea": 20, "": 1}
    assert all(
        cloud.names[0].startswith("Title") and len(cloud.names) == len(cloud.x)
        for cloud in plot.clouds
    )
    where = dict(zip(table["title"].to_pylist(), table["x"].to_pylist(), strict=True))
    assert all(mark.x == pytest.approx(where[mark.name]) for mark in plot.marks)
    assert plot.marks[0].name == "Title 39"  # the most popular of all
    assert sorted(mark.name for mark in plot.marks) == sorted(where)  # each once


@pytest.mark.parametrize("size", [1, 40])
def test_without_attributes_ids_are_names_and_nothing_is_coloured(size: int) -> None:
    plot = cloud_plot(points().slice(0, size), size, "users")
    (cloud,) = plot.clouds
    assert (plot.title, cloud.name, cloud.names[0]) == (f"{size} users", "", "i0")
