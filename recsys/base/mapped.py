"""Arrays beyond memory: in files without a name, mapped, on the disk of the temporary folder.

Who reads a log decides once where its columns lie. An array that is made of a mapped one is mapped
too, `beside` it, so that nothing between a log and its version asks again. A file has no name from
its first moment on: it is gone with the array, and with the process, however that ends.
"""

import mmap
import os
import tempfile
from collections.abc import Callable, Iterator
from contextlib import suppress
from errno import EDQUOT, ENOSPC
from math import prod
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.base.errors import DataError
from recsys.base.stopping import check_stop

Array = NDArray[Any]

_SMALL = 1 << 20  # bytes, which stay in memory wherever the source lies
_USUAL, _ON_DISK = Path("/tmp"), Path("/var/tmp")  # noqa: S108
_AT_ONCE = 1 << 20  # entries that a pass holds in memory


class _Mapped(mmap.mmap):
    """The memory of a file that has no name, and the folder that the file is in."""

    folder: Path


def mapped(folder: Path, shape: int | tuple[int, ...], dtype: Any) -> Array:
    """Return an array of zeros in a file without a name.

    Raises
    ------
    DataError
        If the disk of the folder is full; a file with holes would end the process at a write.
    """
    shape = (shape,) if isinstance(shape, int) else shape
    n_bytes = prod(shape) * np.dtype(dtype).itemsize
    if n_bytes == 0:
        return np.zeros(shape, dtype)
    try:
        with tempfile.TemporaryFile(prefix="recsys-", dir=folder) as file:
            os.posix_fallocate(file.fileno(), 0, n_bytes)
            memory = _Mapped(file.fileno(), n_bytes)
    except OSError as error:
        if error.errno not in (ENOSPC, EDQUOT):
            raise
        raise DataError(
            f"log: expected {n_bytes / 1e9:.1f} GB of free space in {folder}, where what does not "
            "fit in memory lies, got less; free space there, set the environment variable TMPDIR "
            "to a folder with more, or raise log.max_memory"
        ) from error
    memory.folder = folder
    return np.frombuffer(memory, dtype).reshape(shape)


def disk_folder(mounts: Path = Path("/proc/self/mounts")) -> Path:
    """Return the folder for temporary files: that of TMPDIR, else one that is no memory itself.

    /tmp is memory on many machines; /var/tmp is not.
    """
    usual = Path(tempfile.gettempdir())
    is_chosen = usual != _USUAL or bool(os.environ.get("TMPDIR"))
    if is_chosen or _file_system_of(usual, mounts) != "tmpfs" or not os.access(_ON_DISK, os.W_OK):
        return usual
    return usual if _file_system_of(_ON_DISK, mounts) == "tmpfs" else _ON_DISK


def _file_system_of(folder: Path, mounts: Path) -> str | None:
    """Return the kind of the file system that a folder lies on, on Linux."""
    found: dict[str, str] = {}
    with suppress(OSError):
        for line in mounts.read_text().splitlines():
            _, place, kind, *_ = line.split(" ")
            found[place] = kind  # a later mount hides an earlier one
    above = (str(one) for one in (folder.resolve(), *folder.resolve().parents))
    return next((found[one] for one in above if one in found), None)


def folder_of(array: Array) -> Path | None:
    """Return the folder of the file that an array lies in; None where it lies in memory."""
    owner: object = array
    while isinstance(owner, np.ndarray):
        owner = owner.base
    owner = owner.obj if isinstance(owner, memoryview) else owner
    return owner.folder if isinstance(owner, _Mapped) else None


def beside(source: Array, shape: int | tuple[int, ...], dtype: Any) -> Array:
    """Return an array that lies where the source does, in memory or mapped; any numbers in it."""
    return room(folder_of(source), shape, dtype)


def room(folder: Path | None, shape: int | tuple[int, ...], dtype: Any) -> Array:
    """Return an array of any numbers: in memory where there is no folder or it is small."""
    n_bytes = prod((shape,) if isinstance(shape, int) else shape) * np.dtype(dtype).itemsize
    if folder is None or n_bytes < _SMALL:
        return np.empty(shape, dtype)
    return mapped(folder, shape, dtype)


def parts(n: int, at_once: int = _AT_ONCE) -> Iterator[slice]:
    """Cut n entries into runs, so that a pass over a mapped array holds few in memory."""
    for first in range(0, n, at_once):
        check_stop()
        yield slice(first, min(first + at_once, n))


def made_of(source: Array, function: Callable[..., Array], *others: Array, dtype: Any) -> Array:
    """Return ``function(source, *others)``, entry by entry, where the source lies.

    The arrays have one length; the function takes parts of them.
    """
    made = beside(source, len(source), dtype)
    for part in parts(len(source)):
        made[part] = function(source[part], *(other[part] for other in others))
    return made


def taken(source: Array, rows: slice | NDArray[np.bool_] | NDArray[np.integer]) -> Array:
    """Return ``source[rows]``: of marks where the source lies, of numbers where these lie."""
    if isinstance(rows, slice):
        return source[rows]
    rows = np.asarray(rows)
    if rows.dtype != np.bool_:
        return made_of(rows, lambda part: source[part], dtype=source.dtype)
    found = beside(source, int(np.count_nonzero(rows)), source.dtype)
    start = 0
    for part in parts(len(source)):
        some = source[part][rows[part]]
        found[start : start + len(some)] = some
        start += len(some)
    return found


def ascends(array: Array) -> bool:
    """Return whether no entry is smaller than the one before it."""
    ends = (array[part.start : part.stop + 1] for part in parts(len(array) - 1))
    return all(bool((one[1:] >= one[:-1]).all()) for one in ends)
