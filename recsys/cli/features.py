"""The options of what a model is to know of items and users."""

from pathlib import Path
from typing import Annotated, Any

import typer

from recsys.objects import shown

Users = Annotated[
    Path | None, typer.Option("--user-table", help="Table of user attributes (data.users).")
]
ItemFeatures = Annotated[
    str | None,
    typer.Option(
        "--item-features",
        metavar="COLUMNS",
        help="Columns of items that the model knows, such as category,price,title.",
    ),
]
UserFeatures = Annotated[
    str | None,
    typer.Option("--user-features", metavar="COLUMNS", help="Likewise of users."),
]


def feature_keys(
    users: Path | None, item_features: str | None, user_features: str | None
) -> dict[str, Any]:
    """Return the keys of the config of what was typed of features."""
    return {
        "data.users": None if users is None else shown(users),
        "model.item_features": _columns(item_features),
        "model.user_features": _columns(user_features),
    }


def _columns(typed: str | None) -> list[str] | None:
    return None if typed is None else [one.strip() for one in typed.split(",") if one.strip()]
