"""Commands that ask a version for the lists of all: batch, audience."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

import recsys
from recsys.base.errors import ConfigError
from recsys.cli.app import (
    DEFAULT_STORE,
    AsJson,
    IncludeSeen,
    ListLength,
    Out,
    Store,
    VersionOption,
    Where,
    app,
    settings_of_file,
)
from recsys.cli.ask import RulesConfig, known_item, opened
from recsys.cli.options import DeviceName
from recsys.cli.output import keep_table, print_json, print_rows, require_tables, say

if TYPE_CHECKING:
    from recsys.base.devices import Device


@app.command()
def batch(
    out: Annotated[Path, typer.Argument(metavar="OUT", help="Folder for Parquet files.")],
    k: ListLength = 10,
    include_seen: IncludeSeen = False,
    where: Where = None,
    memory: Annotated[
        int, typer.Option("--memory", min=1, help="MB for the lists of a part.")
    ] = 512,
    device: DeviceName = None,
    config: RulesConfig = None,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
) -> None:
    """Recommend items to all users, into Parquet files; goes on where it was interrupted."""
    folder = recsys.write_batch(
        opened(store, version, config),
        out,
        k,
        include_seen=include_seen,
        where=where,
        memory_bytes=memory * 1024**2,
        device=_device_of(device, config),
        progress=True,
    )
    say(folder)


@app.command()
def audience(
    items_asked: Annotated[
        list[str] | None,
        typer.Argument(metavar="[ITEM]...", help="Ids or titles; default with --folder: all."),
    ] = None,
    k: Annotated[int, typer.Option("-k", min=1, help="Users of each item.")] = 10,
    per_user: Annotated[
        int | None, typer.Option("--per-user", min=1, help="Audiences of a user, at most.")
    ] = None,
    where: Annotated[
        str | None, typer.Option("--where", help="A condition on users, such as n_items >= 5.")
    ] = None,
    folder: Annotated[
        Path | None, typer.Option("--folder", help="For Parquet files; goes on if interrupted.")
    ] = None,
    memory: Annotated[
        int, typer.Option("--memory", min=1, help="MB for the audiences of a part.")
    ] = 512,
    config: RulesConfig = None,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """List the users who should hear of an item, or of each of many."""
    require_tables(out)
    if not items_asked and folder is None:
        raise ConfigError("no item: name one or more, or a --folder for the audiences of all items")
    if folder is not None and (out or as_json):
        raise ConfigError("--folder: expected no --out and no --json beside it")
    recommender = opened(store, version, config)
    known = [known_item(recommender, item) for item in items_asked or ()]
    if folder is not None:
        written = recsys.write_audiences(
            recommender,
            folder,
            known or None,
            k,
            per_user=per_user,
            where=where,
            memory_bytes=memory * 1024**2,
            progress=True,
        )
        say(written)
        return
    found = recommender.audiences(known, k, per_user=per_user, where=where)
    keep_table(found.to_arrow, out)
    rows = found.to_arrow().to_pylist()
    if as_json:
        print_json({"audiences": rows, "version": found.version})
    else:
        shown = [row | {"score": f"{row['score']:.4g}"} for row in rows]
        print_rows(shown, title=f"audience · version {found.version}")


def _device_of(named: str | None, config: Path | None) -> "Device":
    """Return the device that is named, else that of a config, else the one of none."""
    if named is not None:
        return recsys.config.settings_from({"compute": {"device": named}}).compute.device
    return settings_of_file(config).compute.device
