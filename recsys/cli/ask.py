"""Commands that ask a version: items, recommend, explain, similar.

What is typed as an item may be its title; where it is neither, the error lists items like it.
"""

from collections.abc import Sequence
from contextlib import suppress
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

import recsys
from recsys.base.errors import ConfigError, DataError, RecsysError, UnknownItemError, briefly
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
from recsys.cli.output import (
    keep_table,
    note,
    print_items,
    print_json,
    require_tables,
    say,
)
from recsys.objects import use_cache

if TYPE_CHECKING:
    from recsys.serving import Recommendations, Recommender
    from recsys.serving.request import Conditions

Item = Annotated[str, typer.Argument(metavar="ITEM", help="Its id, or its title.")]
RulesConfig = Annotated[
    Path | None, typer.Option("--config", help="TOML file, of which [rules] holds for lists.")
]
_SHOWN = 5  # items like one that is not known


@app.command()
def items(
    words: Annotated[
        list[str] | None,
        typer.Argument(metavar="[WORDS]", help="Of a title, or their beginnings; default: all."),
    ] = None,
    k: ListLength = 10,
    where: Where = None,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Find items by words of their titles, those with most users first."""
    require_tables(out)
    text = " ".join(words or ())
    found = opened(store, version).find(text, k, where=where)
    keep_table(found.to_arrow, out)
    if as_json:
        print_json(found.to_dict())
    elif found.items:
        print_items(found, f"items {text}".rstrip() + f" · version {found.version}")
    else:
        say(f"no item of version {found.version} has a title with {text!r}")


@app.command()
def recommend(
    user_id: Annotated[
        str | None, typer.Argument(metavar="[USER]", help="As the log spells it.")
    ] = None,
    k: ListLength = 10,
    include_seen: IncludeSeen = False,
    history: Annotated[
        list[str] | None,
        typer.Option("--history", help="An item of a user who is not in the log; repeatable."),
    ] = None,
    dislikes: Annotated[
        list[str] | None,
        typer.Option("--dislikes", help="An item that the user does not want; repeatable."),
    ] = None,
    user_attributes: Annotated[
        list[str] | None,
        typer.Option(
            "--user-attribute",
            metavar="COLUMN=VALUE",
            help="What is known of a user who is not in the log; repeatable.",
        ),
    ] = None,
    candidates: Annotated[
        list[str] | None,
        typer.Option("--candidates", help="An item that may be in the list; repeatable."),
    ] = None,
    exclude: Annotated[
        list[str] | None, typer.Option("--exclude", help="An item to leave out; repeatable.")
    ] = None,
    where: Where = None,
    diversity: Annotated[float, typer.Option("--diversity", help="0 by score alone, to 1.")] = 0.0,
    max_per: Annotated[
        list[str] | None, typer.Option("--max-per", help="Such as brand:2; repeatable.")
    ] = None,
    new_items: Annotated[
        float | None, typer.Option("--new-items", help="Share of the list, at most: 0 to 1.")
    ] = None,
    repeat: Annotated[
        float | None,
        typer.Option("--repeat", help="What at least this share buys again may return: 0 to 1."),
    ] = None,
    on_unknown: Annotated[
        Literal["popular", "raise"],
        typer.Option("--on-unknown", help="What a user that we do not know gets."),
    ] = "popular",
    of_all: Annotated[
        Literal["popular", "trending", "latest"] | None,
        typer.Option("--list", help="A list for everybody, in place of that of a user."),
    ] = None,
    column: Annotated[
        str | None,
        typer.Option("--column", help="Of --list latest: a column of dates or numbers."),
    ] = None,
    config: RulesConfig = None,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Recommend items to a user, to one with a history, or to everybody."""
    known_of = _attributes_of(user_attributes or ())
    if known_of and (user_id is not None or of_all is not None):
        raise ConfigError(
            "--user-attribute: expected no user and no --list beside it, got "
            f"{user_id if of_all is None else of_all}"
        )
    if user_id is None and not history and not dislikes and not known_of and of_all is None:
        raise ConfigError(
            f"no user: name one{_some_user(store, version)}, or items of a new user by --history "
            "ITEM, or a list for everybody by --list popular"
        )
    if of_all is not None and (user_id is not None or history or dislikes):
        raise ConfigError(
            "--list: expected no user, no history and no dislikes beside it, got "
            f"{user_id or history or dislikes}"
        )
    if column is not None and of_all != "latest":
        raise ConfigError(
            f"--column: expected --list latest beside it, got {of_all or 'no --list'}"
        )
    require_tables(out)
    recommender = opened(store, version, config)
    for option, listed in (("--exclude", exclude), ("--candidates", candidates)):
        _warn_of_unknown(recommender, option, listed or ())
    known = [known_item(recommender, item) for item in history or ()]
    disliked = [known_item(recommender, item) for item in dislikes or ()]
    conditions: Conditions = {
        "exclude": exclude or (),
        "include_seen": include_seen,
        "candidates": candidates or None,
        "where": where,
        "diversity": diversity,
        "max_per": max_per or (),
        "new_items": new_items,
        "repeat": repeat,
    }
    if of_all is not None:
        found = recommender.top_items(of_all, k, column=column, **conditions)
    elif user_id is None:
        found = recommender.recommend_for_history(
            known, k, dislikes=disliked, user_attributes=known_of or None, **conditions
        )
    else:
        found = recommender.recommend(
            user_id,
            k,
            history=known or None,
            dislikes=disliked,
            on_unknown=on_unknown,
            **conditions,
        )
        if known and found.source != "fold_in":
            note(f"recsys: warning: --history: user {user_id} is known, the own history counts")
    if user_id is not None and found.source == "popular":
        is_known = recommender.rows.has_user(user_id)
        what = "has an embedding of zero" if is_known else "is not"
        note(
            f"recsys: warning: user {user_id} {what} in version {found.version}: this list is for "
            "everybody; --history ITEM is for a user with a history"
        )
    keep_table(found.to_arrow, out)
    if as_json:
        print_json(found.to_dict())
        return
    said = [*known, *(f"not {item}" for item in disliked), *(user_attributes or ())]
    whom = user_id or ", ".join(said) or "everybody"
    title = f"for {whom} · {found.source} · version {found.version}"
    print_items(found, title, date_of=_date_of if _has_dates(found, column) else None)


def _has_dates(found: "Recommendations", column: str | None) -> bool:
    """Return whether the scores of a list are times: those of "latest" but by a column of numbers.

    Without a column it is that of dates, or the day of the first event.
    """
    if found.source != "latest" or not len(found):
        return False
    return column is None or any(isinstance(one.get(column), date) for one in found.attributes)


def _date_of(seconds: float) -> str:
    """Return a time in seconds since 1970 as a date, with the time of day where it has one.

    Examples
    --------
    >>> _date_of(1765843200), _date_of(-86400 + 3661)
    ('2025-12-16', '1969-12-31 01:01:01')
    """
    moment = datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)  # also before 1970
    text = moment.replace(tzinfo=None).isoformat(" ", "seconds")
    return text.removesuffix(" 00:00:00")


def _attributes_of(typed: Sequence[str]) -> dict[str, str]:
    """Return attributes of a user by their columns, as they are typed.

    Examples
    --------
    >>> _attributes_of(["country=DE", "age=34"])
    {'country': 'DE', 'age': '34'}
    """
    found = {}
    for one in typed:
        column, sign, value = one.partition("=")
        if not sign or not column:
            raise ConfigError(
                f"--user-attribute: expected a column and a value, such as country=DE, got "
                f"{briefly(one)}"
            )
        found[column] = value
    return found


def opened(store: Path, version: str | None, config: Path | None = None) -> "Recommender":
    """Open a version; say on stderr where a newer one was refused, so that this one answers."""
    settings = settings_of_file(config)
    use_cache(settings.data.cache)
    recommender = recsys.open(store, version, rules=settings.rules)
    if version is None:
        with suppress(RecsysError):
            newest, own = recsys.versions(store)[0], recommender.version
            if newest.name > own and newest.manifest.status == "refused":
                note(
                    f"recsys: warning: version {newest.name}, the newest, was refused: {own} "
                    f"answers; recsys drift {own} {newest.name} says why"
                )
    return recommender


def _some_user(store: Path, version: str | None) -> str:
    """Return a user of a version, for the error of a command that lacks one."""
    with suppress(RecsysError):
        users = recsys.store.open_version(store, version).users.ids
        return f", such as {users[0]}" if len(users) else ""
    return ""


def known_item(recommender: "Recommender", item: str) -> str:
    """Return an id or a title of an item, or raise an error that lists items like it."""
    try:
        recommender.describe(item)
    except UnknownItemError as error:
        raise UnknownItemError(f"{error}; {_how_to_find(recommender, item)}") from error
    return item


def _warn_of_unknown(recommender: "Recommender", option: str, items: Sequence[str]) -> None:
    for item in items:
        try:
            known_item(recommender, item)
        except UnknownItemError as error:
            note(f"recsys: warning: {option}: {error}")


def _how_to_find(recommender: "Recommender", item: str) -> str:
    """Return the end of an error: what items like one there are, or how to find them."""
    like: Sequence[tuple[object, object]] = ()
    with suppress(DataError):  # no titles, or too long a text
        found = recommender.find(item, _SHOWN)
        like = [(one.item_id, title) for one, title in zip(found, found.titles, strict=True)]
    if not like:
        return "recsys items WORDS finds items by title"
    listed = ", ".join(f"{item_id} ({title})" if title else str(item_id) for item_id, title in like)
    return f"did you mean {listed}?"


@app.command()
def explain(
    user_id: Annotated[str, typer.Argument(metavar="USER", help="As the log spells it.")],
    item_id: Item,
    k: ListLength = 10,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """Show what each item that a user has seen adds to the score of an item."""
    require_tables(out)
    recommender = opened(store, version)
    why = recommender.explain(user_id, known_item(recommender, item_id))
    keep_table(why.to_arrow, out)
    if as_json:
        print_json(why.to_dict())
        return
    title = f"{why.item_id} for {user_id}: score {why.score:.4g} · version {why.version}"
    if len(why.contributions) > k:
        title += f" · the first {k} of {len(why.contributions)} contributions"
    print_items(why, title, k)


@app.command()
def similar(
    item_id: Item,
    k: ListLength = 10,
    where: Where = None,
    store: Store = DEFAULT_STORE,
    version: VersionOption = None,
    out: Out = None,
    as_json: AsJson = False,
) -> None:
    """List the items most similar to one, by cosine."""
    require_tables(out)
    recommender = opened(store, version)
    found = recommender.similar_items(known_item(recommender, item_id), k, where=where)
    keep_table(found.to_arrow, out)
    if as_json:
        print_json(found.to_dict())
    else:
        print_items(found, f"similar to {item_id} · version {found.version}")
