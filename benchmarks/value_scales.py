"""What the scale of values does to a model, on public logs whose events have one.

    RECSYS_DATA=... python -m benchmarks.value_scales    # two minutes

ndcg@20 of ALS and SVD with their defaults, by `log.value_scale`, on the test part (by time, or at
random where there is none), `--validation` on the validation part, on which the default was chosen.
"""

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any, get_args

import pyarrow.compute as pc
import pyarrow.csv as csv
import pyarrow.parquet as pq

import recsys
from benchmarks.machine import data_folder
from recsys.settings import ValueScale

_MEASURED = 20


def logs(folder: Path) -> Iterator[tuple[str, Any, dict[str, str]]]:
    """Yield the name, the table and our names for the columns of each log."""
    names = {"user_id": "user_id", "item_id": "artist_id", "value": "plays"}
    yield "lastfm plays", pq.read_table(folder / "lastfm-hetrec2011/user_artists.parquet"), names
    hours = pq.read_table(folder / "steam-200k/events.parquet")
    names = {"user_id": "user_id", "item_id": "item_id", "value": "value"}
    yield "steam hours and purchases", hours, names
    yield "steam hours", hours.filter(pc.equal(hours["event_type"], "play")), names
    lines = pq.read_table(folder / "online-retail/events.parquet")
    is_sold = pc.and_(pc.is_valid(lines["customer_id"]), pc.greater(lines["quantity"], 0))
    names = {"user_id": "customer_id", "item_id": "stock_code", "value": "quantity"}
    yield "online retail quantities", lines.filter(is_sold), {**names, "timestamp": "timestamp"}
    counts = pq.read_table(folder / "retailrocket-dense/events.parquet")
    names = {"user_id": "visitor_id", "item_id": "item_id", "value": "count"}
    yield "retailrocket counts", counts, names
    stars = csv.read_csv(folder / "ml-latest-small/ratings.csv.gz")
    names = {"user_id": "userId", "item_id": "movieId", "value": "rating"}
    yield "ml-latest-small stars", stars, names
    stars = pq.read_table(folder / "ml-1m/interactions.parquet").drop_columns("timestamp")
    yield "ml-1m stars", stars, {"user_id": "user_id", "item_id": "movie_id", "value": "rating"}


def ndcg(table: Any, columns: dict[str, str], scale: str, *, validation: bool) -> list[float]:
    """Return what ALS and SVD reach."""
    table = table.select(list(columns.values()))
    log = recsys.read_log(table, columns=columns, value_scale=scale)
    split = "time" if "timestamp" in columns else "random"
    parts = recsys.split_parts(log, recsys.SplitSettings(split))  # type: ignore[arg-type]
    train, test = (parts.train, parts.validation) if validation else parts.whole
    found = []
    for model in (recsys.ALS(), recsys.SVD()):
        result = recsys.evaluate(model.fit(train.user_items()), train, test, k=_MEASURED)
        found.append(result.metrics[f"ndcg@{_MEASURED}"])
    return found


def main() -> None:
    """Print a row of the table in docs/results.md for each log."""
    parser = argparse.ArgumentParser(description="ndcg by the scale of values.")
    parser.add_argument("--validation", action="store_true", help="not on the test part")
    validation = parser.parse_args().validation
    scales = get_args(ValueScale)
    print(f"| log | {' | '.join(scales)} |")
    print(f"|---|{'---:|' * len(scales)}")
    for name, table, columns in logs(data_folder()):
        found = [ndcg(table, columns, scale, validation=validation) for scale in scales]
        cells = [" / ".join(f"{value:.4f}" for value in values) for values in found]
        print(f"| {name} | {' | '.join(cells)} |", flush=True)


if __name__ == "__main__":
    main()
