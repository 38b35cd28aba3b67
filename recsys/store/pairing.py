"""Users of one version and items of another: for consumers who keep vectors of their own."""

from pathlib import Path

from recsys.errors import DataError
from recsys.store.files import ITEMS, USERS, read_items, read_users
from recsys.vectors import NamedVectors


def read_vectors(users: str | Path, items: str | Path) -> tuple[NamedVectors, NamedVectors]:
    """Read the users of one version and the items of one, which may be another.

    Versions that were aligned share a space: yesterday's users can meet today's items.

    Parameters
    ----------
    users, items : path
        Folders of versions, or ones that users.parquet and items.parquet were copied to.

    Returns
    -------
    users, items : NamedVectors
        Of one space: the dot product of a user and an item is a score.

    Raises
    ------
    DataError
        If the two are of different spaces, as their dot products would mean nothing.
    CorruptVersionError
        If a file is missing or damaged.

    Examples
    --------
    ::

        monday, friday = recsys.versions("store")[4].folder, recsys.versions("store")[0].folder
        users, items = recsys.read_vectors(users=monday, items=friday)
        items.nearest(users["u42"], k=10, by="dot")
    """
    user_table, item_table = read_users(Path(users)), read_items(Path(items))
    ours, theirs = user_table.space_id, item_table.space_id
    if ours != theirs:
        raise DataError(
            f"{Path(items) / ITEMS}: expected items of space {ours!r}, as {Path(users) / USERS} "
            f"is, got {theirs!r}; two spaces share no coordinates, so take both files from one "
            "version, or from versions whose manifests say the same space_id"
        )
    return (
        NamedVectors(user_table.ids, user_table.embeddings, "user", ours, f"in {users}"),
        NamedVectors(item_table.ids, item_table.embeddings, "item", theirs, f"in {items}"),
    )
