"""Commands that ask a version: recommend, explain, batch, similar."""

from pathlib import Path
from typing import Annotated, Literal

import typer

import recsys
from recsys.cli.app import (
    DEFAULT_STORE,
    AsJson,
    IncludeSeen,
    ListLength,
    Store,
    VersionOption,
    Where,
    app,
)
from recsys.cli.output import print_items, print_json, say


@app.command()
def recommend(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="As the log spells it.")],
    k: ListLength = 10,
    include_seen: IncludeSeen = False,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="An item to leave out; repeatable.")
    ] = None,
    where: Where = None,
    diversity: Annotated[float, typer.Option("--diversity", help="0 by score alone, to 1.")] = 0.0,
    max_per: Annotated[str | None, typer.Option("--max-per", help="Such as brand:2.")] = None,
    on_unknown: Annotated[
        Literal["popular", "raise"],
        typer.Option("--on-unknown", help="What a user that we do not know gets."),
    ] = "popular",
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
    as_json: AsJson = False,
) -> None:
    """Recommend items to a user."""
    recommender = recsys.open(store, version)
    found = recommender.recommend(
        user_id,
        k,
        exclude=exclude or (),
        include_seen=include_seen,
        where=where,
        diversity=diversity,
        max_per=max_per,
        on_unknown=on_unknown,
    )
    if as_json:
        print_json(found.to_dict())
        return
    because = None
    if found.source == "personal" and not include_seen:
        because = [recommender.closest_seen(user_id, item_id) for item_id, _ in found]
    title = f"for {user_id} · {found.source} · version {found.version}"
    print_items(recommender, found, title, because)


@app.command()
def explain(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="As the log spells it.")],
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="As the log spells it.")],
    k: ListLength = 10,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
    as_json: AsJson = False,
) -> None:
    """Show what each item that a user has seen adds to the score of an item."""
    recommender = recsys.open(store, version)
    why = recommender.explain(user_id, item_id)
    if as_json:
        print_json(why.to_dict())
        return
    title = f"{item_id} for {user_id}: score {why.score:.4g} · version {why.version}"
    if len(why.contributions) > k:
        title += f" · the first {k} of {len(why.contributions)} contributions"
    print_items(recommender, why.contributions[:k], title)


@app.command()
def batch(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for Parquet files.")],
    k: ListLength = 10,
    include_seen: IncludeSeen = False,
    where: Where = None,
    memory: Annotated[
        int, typer.Option("--memory", min=1, help="MB for the lists of a part.")
    ] = 512,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
) -> None:
    """Recommend items to all users, into Parquet files; goes on where it was interrupted."""
    folder = recsys.write_batch(
        recsys.open(store, version),
        out,
        k,
        include_seen=include_seen,
        where=where,
        memory_bytes=memory * 1024**2,
        progress=True,
    )
    say(folder)


@app.command()
def similar(
    item_id: Annotated[str, typer.Argument(metavar="ITEM", help="As the log spells it.")],
    k: ListLength = 10,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
    as_json: AsJson = False,
) -> None:
    """List the items most similar to one, by cosine."""
    recommender = recsys.open(store, version)
    found = recommender.similar_items(item_id, k)
    if as_json:
        print_json(found.to_dict())
    else:
        print_items(recommender, found, f"similar to {item_id} · version {found.version}")
