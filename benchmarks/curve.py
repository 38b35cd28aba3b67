"""Accuracy against bytes a vector: the rows of `benchmarks.quality --gowalla --rows` as a picture.

    python -m benchmarks.quality --gowalla --no-peers --seeds 1 --rows rows.jsonl --models als svd
    python -m benchmarks.curve rows.jsonl docs/curve.svg

Of rows for the same model, size and storage the last counts.
"""

import argparse
from json import loads
from pathlib import Path
from typing import Any

from matplotlib import rc_context
from matplotlib.figure import Figure

from benchmarks.published_rows import published_on

_METRIC = "ndcg@20"
_NAMES = {"distilled": "Distilled", "svd": "SVD", "als": "ALS"}  # best first
_COLORS = {"distilled": "#D55E00", "svd": "#0072B2", "als": "#009E73"}  # Okabe and Ito's
_LINES = {"float32": "-", "int8": "--"}
_PUBLISHED = ("LightGCN", "NESCL")
_SIZES = [8, 16, 32, 64, 128, 256, 512, 1024, 2048]  # bytes
_FACTORS_PUBLISHED = 64


def bytes_of(row: dict[str, Any]) -> int:
    """Return the bytes of a vector; in int8 it has a scale."""
    return int(row["factors"]) + 4 if row["storage"] == "int8" else 4 * int(row["factors"])


def draw(rows: list[dict[str, Any]]) -> Figure:
    """Return the curve of each model in each storage, and what others publish."""
    figure = Figure(figsize=(8, 5), layout="constrained")
    axes = figure.subplots()
    for name, label in _NAMES.items():
        for storage, line in _LINES.items():
            points = sorted(
                (bytes_of(row), row[_METRIC])
                for row in rows
                if (row["model"], row["storage"]) == (name, storage)
            )
            shown = [point for point in points if _SIZES[0] <= point[0] <= _SIZES[-1]]
            axes.plot(
                *zip(*shown, strict=True),
                line,
                color=_COLORS[name],
                marker="o" if storage == "float32" else "D",
                markersize=4,
                label=f"{label}, {storage}",
            )
    published = {row.model: row.values for row in published_on("gowalla")}
    for name in _PUBLISHED:
        size, value = 4 * _FACTORS_PUBLISHED, float(published[name][_METRIC])
        axes.scatter([size], [value], marker="x", color="0.25", zorder=3)
        label = f"{name}, published"
        axes.annotate(label, (size, value), (7, -4), textcoords="offset points", fontsize=8)
    axes.set_xscale("log", base=2)
    axes.set_xticks(_SIZES, [f"{size:,}" for size in _SIZES])
    axes.set(
        xlabel="bytes of a vector",
        ylabel=_METRIC,
        ylim=(0, None),
        title="Gowalla: accuracy against bytes (29,858 users, 40,981 items)",
    )
    axes.grid(color="0.92", linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)
    axes.legend(frameon=False, loc="lower right")
    return figure


def main() -> None:
    """Draw the rows of a file."""
    parser = argparse.ArgumentParser(description="Accuracy against bytes, as a picture.")
    parser.add_argument("rows", type=Path)
    parser.add_argument("picture", type=Path)
    arguments = parser.parse_args()
    read = [loads(line) for line in arguments.rows.read_text().splitlines()]
    last = {(row["model"], row["factors"], row["storage"]): row for row in read}
    with rc_context({"svg.hashsalt": "recsys", "svg.fonttype": "none"}):
        metadata = {"Date": None} if arguments.picture.suffix == ".svg" else None
        draw(list(last.values())).savefig(arguments.picture, dpi=150, metadata=metadata)


if __name__ == "__main__":
    main()
