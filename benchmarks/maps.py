"""Maps of the items: how smoothly a page moves, and how far points move from night to night.

    python -m benchmarks.maps --items 100000     # frames in a real browser; made-up vectors
    python -m benchmarks.maps --nights           # MovieLens-1M, $RECSYS_DATA is the folder of logs

The browser is Debian's Chromium without a window and without a graphics card. A drag and a zoom of
120 frames each are given to the page; a frame ends when the browser asks for the next one. Needs
`pip install '.[dev]'`.
"""

import argparse
import os
import shutil
import tempfile
from pathlib import Path
from time import perf_counter
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import scipy.sparse as sp
from numpy.typing import NDArray

import recsys
from recsys.maps import nearest, picture_of, vector_map
from recsys.maps.positions import positions_of
from recsys.pages.map_page import save_map
from recsys.settings import IndexSettings
from recsys.store import ModelSpec, Release, publish
from recsys.vectors import Embeddings, Ids
from recsys.vectors.vector import unit_rows

WORDS = ("moon", "river", "stone", "night", "silver", "city", "garden", "winter", "light", "fire")
NEAREST = 10
MOVES = """async (kind) => {
  const board = document.getElementById("board"), gaps = [], draws = [];
  board.setPointerCapture = () => {};
  const send = (type, of, more) => board.dispatchEvent(
    new of(type, {bubbles: true, cancelable: true, pointerId: 7, ...more}));
  if (kind === "drag") send("pointerdown", PointerEvent, {clientX: 400, clientY: 350});
  let last = performance.now();
  for (let i = 0; i < 120; i++) {
    const at = {clientX: 400 + 120 * Math.sin(i / 9), clientY: 350 + 90 * Math.cos(i / 9)};
    if (kind === "drag") send("pointermove", PointerEvent, at);
    else send("wheel", WheelEvent, {deltaY: i < 60 ? -40 : 40, clientX: 500, clientY: 400});
    await new Promise(requestAnimationFrame);
    gaps.push(performance.now() - last); last = performance.now();
    draws.push(Number(board.dataset.milliseconds));
  }
  if (kind === "drag") send("pointercancel", PointerEvent, {});
  draws.sort((a, b) => a - b);
  return [draws[60], 1000 * gaps.length / gaps.reduce((a, b) => a + b)];
}"""


def frames(n_items: int, folder: Path) -> None:
    """Print how long a page of so many items takes to draw, and its frames a second."""
    from playwright.sync_api import sync_playwright

    page = folder / "map.html"
    publish(folder / "store", _clustered(n_items), IndexSettings(kind="exact"))
    n_bytes = save_map(picture_of(vector_map(folder / "store")), page)
    print("| items | file | ready | draw, drag / zoom | frames a second | load |")
    print("|---:|---:|---:|---:|---:|---:|")
    with sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        program = shutil.which("chromium")
        browser = playwright.chromium.launch(executable_path=program, args=flags)
        opened = browser.new_page(viewport={"width": 1280, "height": 860})
        start = perf_counter()
        opened.goto(page.as_uri())
        opened.wait_for_selector("#board[data-points][data-frames]")
        ready = perf_counter() - start
        drag, zoom = (opened.evaluate(MOVES, kind) for kind in ("drag", "zoom"))
        browser.close()
    drawn, rates = f"{drag[0]:.1f} / {zoom[0]:.1f} ms", f"{drag[1]:.0f} / {zoom[1]:.0f}"
    size = f"{n_bytes / 1e6:.1f} MB | {ready:.1f} s"
    print(f"| {n_items:,} | {size} | {drawn} | {rates} | {os.getloadavg()[0]:.1f} |")


def _clustered(n_items: int) -> Release:
    """Return a version of items in 60 clusters, with titles and categories."""
    rng = np.random.default_rng(0)
    cluster = rng.integers(0, 60, n_items)
    centres = rng.normal(size=(60, 32))[cluster] * rng.uniform(0.6, 1.4, (n_items, 1))
    vectors = (centres + 0.7 * rng.normal(size=(n_items, 32))).astype(np.float32)
    popularity = np.maximum(1, 1e5 / np.arange(1, n_items + 1) ** 0.8).astype(np.int64)
    ids = [f"item-{number:07}" for number in range(n_items)]
    drawn = np.array(WORDS)[rng.integers(0, len(WORDS), (n_items, 2))]
    columns = {
        "item_id": ids,
        "title": [f"The {a} of the {b} {n}" for n, (a, b) in enumerate(drawn.tolist())],
        "category": [f"category {number % 12}" for number in cluster],
    }
    return Release(
        embeddings=Embeddings(vectors[:50].copy(), vectors),
        users=Ids([f"u{number}" for number in range(50)]),
        items=Ids(ids),
        seen=sp.csr_array((50, n_items), dtype=np.float32),
        popularity=rng.permutation(popularity),
        model=ModelSpec("als", {"factors": 32}),
        attributes=pa.table(columns),
    )


def nights(folder: Path) -> None:
    """Print how far items move from one night's map to the next, with and without its start."""
    log = pq.read_table(Path(os.environ["RECSYS_DATA"]) / "ml-1m" / "interactions.parquet")
    rating, seconds = log["rating"].to_numpy(), log["timestamp"].to_numpy()
    found = []
    for share in (0.99, 1.0):
        part = log.filter(pa.array((rating >= 4) & (seconds <= np.nanquantile(seconds, share))))
        part = part.select(["user_id", "movie_id", "timestamp"])
        part = part.rename_columns(["user_id", "item_id", "timestamp"])
        recsys.train(part, folder / "store", model=recsys.ALS(64), split="none")
        found.append(vector_map(folder / "store"))
    first, second = found
    is_both = np.isin(second.to_pandas()["item_id"], first.to_pandas()["item_id"])
    places = first.to_pandas().set_index("item_id").loc[second.to_pandas()["item_id"][is_both]]
    before = places[["x", "y"]].to_numpy()
    units = unit_rows(np.asarray(second.content.items.embeddings)[second.rows])
    anew = positions_of(units, method="umap")
    print(
        "| map of the second night | median move | 90 % move less than | 99 % | neighbours kept |"
    )
    print("|---|---:|---:|---:|---:|")
    for name, positions in (("starts at the first", second.positions), ("made anew", anew)):
        moves = _moves(positions[is_both], before)
        cells = " | ".join(f"{one:.3f}" for one in np.quantile(moves, (0.5, 0.9, 0.99)))
        print(f"| {name} | {cells} | {_kept(positions, units):.1%} |")


def _moves(positions: NDArray[Any], before: NDArray[Any]) -> NDArray[np.float64]:
    """Return how far each point is from where it was, turned onto it, in spreads of the map."""
    middle, target = positions.mean(axis=0), before.mean(axis=0)
    u, _, v = np.linalg.svd((positions - middle).T @ (before - target))
    spread = np.sqrt(((before - target) ** 2).sum(axis=1).mean())
    moved = (positions - middle) @ (u @ v) + target - before
    return np.asarray(np.linalg.norm(moved, axis=1) / spread)


def _kept(positions: NDArray[Any], units: NDArray[np.float32]) -> float:
    """Return the share of the nearest by cosine that are among the nearest on the map."""
    from scipy.spatial import cKDTree

    by_cosine = nearest(units, units, NEAREST, without_itself=True)[0]
    on_map = cKDTree(positions).query(positions, NEAREST + 1)[1]
    pairs = zip(by_cosine, on_map[:, 1:], strict=True)
    return float(np.mean([np.isin(*pair).mean() for pair in pairs]))


def main() -> None:
    """Run what the command line asks for."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--items", type=int, help="of a page that is moved in a browser")
    parser.add_argument("--nights", action="store_true", help="how stable a map is")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        if arguments.items:
            frames(arguments.items, Path(folder))
        if arguments.nights:
            nights(Path(folder))


if __name__ == "__main__":
    main()
