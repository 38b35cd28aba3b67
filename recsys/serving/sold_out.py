"""The items that a file says are sold out: read again whenever it was replaced or written to."""

import warnings
from pathlib import Path

import numpy as np

from recsys.base.durable import signature_of
from recsys.base.errors import ConfigError
from recsys.index import ItemRows
from recsys.vectors import Ids


class SoldOut:
    """The items of a file of ids, one a line; unknown ones are ignored.

    Where the file is gone or cannot be read later, what it said last holds, with a warning.

    Parameters
    ----------
    path : path
        A ConfigError is raised where it cannot be read.
    ids : Ids
        Of the items.
    """

    def __init__(self, path: Path, ids: Ids) -> None:
        self._path, self._ids = path, ids
        self._signature = signature_of(path)
        try:
            self._rows = self._read()
        except (OSError, UnicodeError) as error:
            raise ConfigError(
                f"rules.sold_out: expected a text file of ids, one a line, at {path}, got {error}"
            ) from error

    @property
    def rows(self) -> ItemRows:
        """The rows of the items, as the file is now."""
        signature = signature_of(self._path)
        if signature != self._signature:
            try:
                self._rows = self._read()
            except (OSError, UnicodeError) as error:
                warnings.warn(
                    f"rules.sold_out: {error}; what it said before holds", RuntimeWarning, 2
                )
            self._signature = signature  # so that a damaged file is read, and said, once
        return self._rows

    def _read(self) -> ItemRows:
        listed = [line for line in self._path.read_text(encoding="utf-8").split("\n") if line]
        rows = self._ids.rows(listed)
        return np.unique(rows[rows >= 0]).astype(np.int32)
