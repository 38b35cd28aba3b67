"""Make a version the current one: a chosen one, or the one before."""

from pathlib import Path

from recsys.errors import GateFailedError, VersionNotFoundError
from recsys.store.directory import CURRENT_LOCK, Version, current, find_version
from recsys.store.durable import errors_of_writing, only_writer
from recsys.store.history import Kind, make_current, version_before


def activate(store: str | Path, name: str, *, force: bool = False) -> Version:
    """Make a version the current one; readers take it up with their next call.

    Parameters
    ----------
    store : path
    name : str
    force : bool
        Take one that was refused, too.

    Raises
    ------
    GateFailedError
        If the version was refused when it was published, unless `force`.
    VersionNotFoundError
        If there is no such version.
    CorruptVersionError
        If its manifest is damaged.
    StoreError
        If the store cannot be written.
    """
    store = Path(store)
    version = find_version(store, name)  # also where no lock could be made
    if version.manifest.status == "refused" and not force:
        refusing = [check for check in version.manifest.checks if check.refuses]
        raise GateFailedError([check.sentence for check in refusing], refusing, version.name)
    with errors_of_writing(store, f"make {name} current"), only_writer(store / CURRENT_LOCK):
        return _make_current(store, name, "activate")


def rollback(store: str | Path) -> Version:
    """Make the version current that was current before; it waits for no publish.

    Rollbacks undo activations one by one: after A, B and C were activated, the first one takes B
    and the second one A. Versions that were pruned since are passed over.

    Returns
    -------
    Version
        The one that is current now.

    Raises
    ------
    VersionNotFoundError
        If none is current, or none was before.
    CorruptVersionError
        If the manifest of the one before is damaged; nothing has changed then.
    StoreError
        If the store cannot be read or written.

    See Also
    --------
    activations : which versions were current, and when
    """
    store = Path(store)
    now = find_version(store).name
    with errors_of_writing(store, "roll back"), only_writer(store / CURRENT_LOCK):
        name = version_before(store)
        if name is None:
            raise VersionNotFoundError(
                f"store {store}: expected a version that was current before "
                f"{current(store) or now}, got none that is still there; activate one by its name"
            )
        return _make_current(store, name, "rollback")


def _make_current(store: Path, name: str, kind: Kind) -> Version:
    """Look once more, now that nobody can prune it, and write."""
    version = find_version(store, name)
    version.manifest  # noqa: B018  a version that cannot be opened must not become current
    make_current(store, name, kind)
    return version
