"""Small nights: a log of known tastes on the disk, and settings that train in no time."""

import json
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from recsys.config import Settings, settings_from
from recsys.logs import Interactions
from tests.worlds import tastes


def as_table(log: Interactions) -> pa.Table:
    return pa.table(
        {
            "user_id": log.users.tolist(log.user_idx),
            "item_id": log.items.tolist(log.item_idx),
            "timestamp": log.timestamp,
        }
    )


def write_days(folder: Path, n_days: int = 3, seed: int = 0) -> list[Path]:
    """Write a log in parts, one file a day."""
    folder.mkdir(parents=True, exist_ok=True)
    table = as_table(tastes(seed=seed))
    size = -(-table.num_rows // n_days)
    paths = [folder / f"day{day}.parquet" for day in range(n_days)]
    for day, path in enumerate(paths):
        pq.write_table(table.slice(day * size, size), path)
    return paths


def tables_of(folder: Path, **nightly: Any) -> dict[str, Any]:
    """Settings of a night whose log is in ``folder/log``, as a config has them."""
    return {
        "data": {"log": str(folder / "log")},
        "model": {"factors": 4, "iterations": 3, "regularization": 0.1},
        "evaluation": {"k": 5},
        "index": {"kind": "exact"},
        "nightly": {
            "store": str(folder / "store"),
            "log_file": str(folder / "night.jsonl"),
            "log_level": "debug",
            "reuse_unchanged": False,  # every night publishes
            **nightly,
        },
    }


def settings_of(folder: Path, **nightly: Any) -> Settings:
    return settings_from(tables_of(folder, **nightly))


def journal_of(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "night.jsonl").read_text().splitlines()]


def stages_of(report: Any) -> dict[str, str]:
    return {stage.name: stage.status for stage in report.stages}
