"""Open a version; `recommend` in one call, which keeps the current version open."""

import os
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from recsys.base.errors import (
    CorruptVersionError,
    StoreError,
    UnreadableError,
    VersionNotFoundError,
)
from recsys.base.rule_settings import RuleSettings, rule_settings_of
from recsys.serving.recommender import Recommender
from recsys.serving.results import Recommendations
from recsys.store import Content, current_or_none, open_version, served
from recsys.store.remote import remote_of, store_folder
from recsys.store.sound import first_usable
from recsys.store.version_copies import VERSIONS
from recsys.store.versions import Version, current_signature
from recsys.vectors import Id

if TYPE_CHECKING:
    from recsys.serving.with_more import More


def store_path(store: str | Path | None = None) -> Path:
    """Return the folder of the store: the given one, else $RECSYS_STORE, else ./store."""
    if isinstance(store, str | None):
        store = store or os.environ.get("RECSYS_STORE") or "store"
    return store_folder(store)


def open(
    store: str | Path | None = None,
    version: str | None = None,
    *,
    rules: RuleSettings | Mapping[str, Any] | None = None,
) -> Recommender:
    """Open a version of a store.

    Where the current one is damaged, the one that was current before it is opened instead, with a
    RuntimeWarning that names the damage: yesterday's lists are better than none.

    Parameters
    ----------
    store : path, optional
        Default: $RECSYS_STORE, else ./store.
    version : str, optional
        Default: the current one.
    rules : RuleSettings or mapping, optional
        What holds for every list, as the table ``[rules]`` of a config has it.

    Returns
    -------
    Recommender
        It stays with its version, whatever is published later.

    Raises
    ------
    StoreError
        If there is no store, or it cannot be read.
    VersionNotFoundError
        If there is no such version.
    CorruptVersionError
        If a file of the version is damaged, and no other version may stand in for it.
    ConfigError
        If a rule cannot be understood, or the file of what is sold out cannot be read.
    """
    return Recommender(open_content(store, version), rule_settings_of(rules))


def open_content(store: str | Path | None = None, version: str | None = None) -> Content:
    """Open what a `Recommender` answers from; see `open`."""
    folder = store_path(store)
    try:
        return open_version(folder, version)
    except (CorruptVersionError, VersionNotFoundError) as error:
        if version is not None:
            raise
        return _opened_instead(folder, error)
    except UnreadableError as error:
        if version is not None:
            raise
        return _opened_copy(folder, error)


def _opened_instead(store: Path, error: StoreError) -> Content:
    """Open the latest of the once current versions that can be opened, or raise the error."""
    opened, _ = first_usable(store, served(store), Content.of)
    if opened is None:
        raise error
    warnings.warn(f"{error}; serving version {opened.version}", RuntimeWarning, stacklevel=4)
    return opened


def _opened_copy(store: Path, error: UnreadableError) -> Content:
    """Open the local copy of what was current last, where a bucket is not reached now."""
    remote = remote_of(store)
    name = None if remote is None else remote.copies.last_known
    if name is None:
        raise error
    opened = Content.of(Version(name, store / VERSIONS / name))
    warnings.warn(f"{error}; serving the local copy of {name}", RuntimeWarning, stacklevel=4)
    return opened


def recommend(user_id: Id, k: int = 10, store: str | Path | None = None) -> Recommendations:
    """Recommend items to a user from the current version of a store.

    The version stays open between calls; when another one becomes current, that is opened.

    Parameters
    ----------
    user_id : str or int
        An unknown user gets the popular list.
    store : path, optional
        Default: $RECSYS_STORE, else ./store.

    Raises
    ------
    DataError
        If k is less than 1.
    StoreError
        As `recsys.open`.
    """
    return _current_recommender(store_path(store).absolute()).recommend(user_id, k)


def reopened(
    folder: Path, rules: RuleSettings | None = None, more: "More | None" = None
) -> Recommender:
    """Return the recommender that was pickled as the place of its version."""
    content = Content.of(Version(folder.name, folder))
    if more is None:
        return Recommender(content, rules)
    from recsys.serving.with_more import ContentWithMore

    return Recommender(ContentWithMore.after(content, more), rules)


_open: dict[Path, tuple[list[int] | str, Recommender]] = {}


def _current_recommender(store: Path) -> Recommender:
    """Return the recommender of the current version, opened only when CURRENT was replaced."""
    signature = current_signature(store)  # taken before CURRENT is read, so never too new
    known = _open.get(store)
    if signature is not None and known is not None and known[0] == signature:
        return known[1]
    if known is not None and current_or_none(store) == known[1].version:
        recommender = known[1]
    else:
        recommender = open(store)
    if signature is not None:
        _open[store] = (signature, recommender)
    return recommender
