"""The command that draws the map of a version."""

from pathlib import Path
from typing import Annotated, Any

import typer

import recsys
from recsys.cli.app import DEFAULT_STORE, Store, app
from recsys.cli.output import note, say

_MEGABYTE = 1_000_000


@app.command("map")
def map_command(
    version: Annotated[
        str | None, typer.Argument(metavar="[VERSION]", help="Default: the current one.")
    ] = None,
    out: Annotated[Path, typer.Option("--out", help="The page.")] = Path("map.html"),
    store: Store = DEFAULT_STORE,
    of: Annotated[str, typer.Option("--of", help="items or users.")] = "items",
    by: Annotated[
        list[str] | None,
        typer.Option("--by", help="An attribute to colour by; repeatable. Default: the telling."),
    ] = None,
    method: Annotated[
        str | None, typer.Option("--method", help="umap or pca. Default: umap if installed.")
    ] = None,
    seed: Annotated[int, typer.Option("--seed", min=0)] = 0,
    again: Annotated[
        bool, typer.Option("--again", help="Lay it out again, also where it is kept.")
    ] = False,
) -> None:
    """Draw the items, or the users, on a plane: a page to zoom, search and click."""
    chosen: Any = (of, method)  # what is none is refused there
    found = recsys.maps.vector_map(
        store, version, chosen[0], method=chosen[1], seed=seed, again=again, progress=True
    )
    picture = recsys.maps.picture_of(found, by)
    n_bytes = recsys.pages.save_map(picture, out)
    say(f"{out}: {found.caption()}, {n_bytes / _MEGABYTE:.1f} MB")
    for sentence in picture.notes:
        if sentence.startswith("no "):
            note(sentence)
    if found.origin.method == "pca" and method is None:
        note("UMAP shows far more than principal components: pip install 'recsys-engine[map]'")
