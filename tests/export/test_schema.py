"""The page for the consuming team is true: its snippets run and agree, its columns are there."""

import json
import re
from dataclasses import replace
from pathlib import Path

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from recsys.export import export_version
from recsys.features import FeatureEncoder
from recsys.store import Content, ItemTimes, publish
from recsys.vectors import Embeddings
from tests.command_line import run_program
from tests.store.releases import small_release


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> Content:
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 4)).astype(np.float32) for n in (12, 30))
    items[3] = 0
    folder = tmp_path_factory.mktemp("it's a store")
    encoder = FeatureEncoder.learn(pa.table({"kind": ["a", "b"] * 15}), ["kind"])
    item_map = np.ones((len(encoder.names), 4), np.float32)
    release = small_release(embeddings=Embeddings(users, items, item_map=item_map))
    release = replace(release, encoders={"item": encoder})
    days = np.zeros(release.seen.nnz, np.uint16)
    times = ItemTimes(*np.zeros((4, 30), np.float32))
    users = pa.table({"user_id": release.users.values, "seen": ["DE"] * 12})
    release = replace(release, times=times, seen_day=days, user_attributes=users)
    return Content.of(publish(folder, release))


@pytest.fixture(scope="module")
def page(content: Content, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return export_version(content, "schema", tmp_path_factory.mktemp("out") / "schema")


def snippets(page: Path) -> dict[str, str]:
    text = (page / "schema.md").read_text()
    return dict(re.findall(r"^### (\w+)\n\n```python\n(.*?)^```", text, re.MULTILINE | re.DOTALL))


@pytest.mark.parametrize("tool", ["pandas", "Polars", "DuckDB", "NumPy"])
def test_a_snippet_runs_and_finds_the_best_items(content: Content, page: Path, tool: str) -> None:
    done = run_program(snippets(page)[tool])
    assert done.returncode == 0, done.stderr
    scores = content.items.embeddings @ content.users.embeddings[0]
    expected = content.items.ids.tolist(np.argsort(-scores, kind="stable")[:5])
    assert done.stdout.strip() == str(expected)


def test_there_is_a_snippet_for_spark(page: Path) -> None:
    compile(snippets(page)["Spark"], "spark", "exec")


def test_the_columns_are_those_of_the_files(content: Content, page: Path) -> None:
    described = json.loads((page / "schema.json").read_text())
    assert described["space_id"] == content.version.manifest.space_id
    names = ("users", "items", "attributes", "user_attributes", "times", "item_features")
    assert set(described["files"]) == {f"{name}.parquet" for name in names}
    of_times = {
        one["name"]: one["meaning"] for one in described["files"]["times.parquet"]["columns"]
    }
    assert len(set(of_times.values())) == 5  # each explained
    of_users = described["files"]["user_attributes.parquet"]["columns"]
    assert of_users[1] == {
        "name": "seen",
        "type": "string",
        "meaning": "As the table of users had it.",
    }
    text = (page / "schema.md").read_text()
    for name, facts in described["files"].items():
        file = pq.ParquetFile(content.version.folder / name)
        assert [column["name"] for column in facts["columns"]] == file.schema_arrow.names
        assert facts["rows"] == file.metadata.num_rows
        assert all(f"| `{column}` |" in text for column in file.schema_arrow.names)
    assert {"name": "embedding", "type": "fixed_size_list<float>[4]"}.items() <= (
        described["files"]["items.parquet"]["columns"][1].items()
    )


def test_the_page_states_the_rules(content: Content, page: Path) -> None:
    text = (page / "schema.md").read_text()
    for rule in ("dot product", "cosine", "space_id", "row number is the key"):
        assert rule in text
    assert content.version.name in text
