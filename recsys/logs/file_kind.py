"""What a file is by its first bytes, whatever its name says, and how it is decompressed."""

import bz2
import codecs
import re
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import pyarrow as pa

from recsys.base.errors import DataError

COMPRESSION_OF_SUFFIX = {".gz": "gzip", ".zst": "zstd", ".bz2": "bz2", ".zip": "zip"}
ERRORS_OF_STREAMS = (
    *(OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError, NotImplementedError),
)
_LOOKED_AT = 1024
_COMPRESSIONS = {
    b"\x1f\x8b\x08": "gzip",
    b"\x28\xb5\x2f\xfd": "zstd",
    b"PK\x03\x04": "zip",
    b"PK\x05\x06": "zip",
}
_BZIP2 = re.compile(rb"BZh[1-9]1AY&SY")
_PARQUET = (b"PAR1", b"PARE")
_UNREADABLE = {  # what tables and logs come in, and what is saved in their place
    b"ARROW1": "an Arrow (Feather) file; pass pyarrow.feather.read_table(path)",
    b"\xff\xff\xff\xff": "an Arrow stream; pass pyarrow.ipc.open_stream(path)",
    b"Obj\x01": "an Avro file; convert it to Parquet",
    b"SQLite format 3\x00": "a SQLite database; export its table as CSV",
    b"\x89HDF": "an HDF5 file; pass pandas.read_hdf(path)",
    b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1": "an Excel workbook (.xls); save its sheet as CSV",
    b"\x93NUMPY": "a NumPy array; pass it as columns of a table",
    b"\xfd7zXZ\x00": "compressed by xz; decompress it",
    b"\x04\x22\x4d\x18": "compressed by lz4; decompress it",
    b"\xff\x06\x00\x00sNaPpY": "compressed by snappy; decompress it",
    b"7z\xbc\xaf\x27\x1c": "a 7z archive; unpack it",
    b"Rar!\x1a\x07": "a RAR archive; unpack it",
    b"%PDF-": "a PDF; export its table as CSV",
    b"version https://git-lfs": "a pointer of Git LFS, not the file; fetch it with git lfs pull",
}
_PICKLE = re.compile(rb"\x80[\x02-\x05](\x95|c|\}|\])", re.DOTALL)
_PAGE = re.compile(rb"\s*<(!doctype html|html|head|\?xml)\b", re.IGNORECASE)
_OFFICE = {"xl/": "an Excel workbook (.xlsx)", "word/": "a Word document", "content.xml": "an ODS"}


@dataclass(frozen=True)
class FileKind:
    """What the first bytes of a file show."""

    compression: str | None
    is_parquet: bool
    start: bytes  # decompressed; empty where that cannot be


class Readable(Protocol):
    """What bytes are read from."""

    def read(self, size: int, /) -> bytes:
        """Return the next bytes, at most `size` of them; none at the end."""


@contextmanager
def opened(path: Path, compression: str | None) -> Iterator[Readable]:
    """Open a file to be read as what it is when decompressed."""
    if compression == "zip":
        with zipfile.ZipFile(path) as archive, archive.open(zip_member(path)) as member:
            yield member
    elif compression == "bz2":
        with bz2.open(path) as stream:
            yield stream
    else:
        with pa.input_stream(str(path), compression=compression) as stream:
            yield stream


def kind_of(path: Path, what: str) -> FileKind:
    """Look at the first bytes of a file; `what` begins the DataError of one not read here."""
    with path.open("rb") as stream:
        start = stream.read(_LOOKED_AT)
    compression = _compression_of(start)
    if compression is None and not (start.startswith(_PARQUET) or _is_text(start)):  # damaged
        compression = COMPRESSION_OF_SUFFIX.get(path.suffix.lower())
    if compression is not None:
        start = _decompressed(path, compression)
        if _compression_of(start) is not None:
            raise DataError(f"{what} {path}: it is compressed twice; decompress it once")
    found = _unreadable(start)
    if found is not None:
        inside = f"inside {compression} " if compression else ""
        raise DataError(f"{what} {path}: {inside}it is {found}")
    return FileKind(compression, start.startswith(_PARQUET), start)


def _compression_of(start: bytes) -> str | None:
    if _BZIP2.match(start):
        return "bz2"
    return next((name for mark, name in _COMPRESSIONS.items() if start.startswith(mark)), None)


def _decompressed(path: Path, compression: str) -> bytes:
    """Return the start of what is inside; nothing where it is damaged, as who reads on says."""
    try:
        with opened(path, compression) as stream:
            return stream.read(_LOOKED_AT)
    except ERRORS_OF_STREAMS:
        return b""


def _is_text(start: bytes) -> bool:
    try:
        codecs.getincrementaldecoder("utf-8")().decode(start)
    except UnicodeDecodeError:
        return False
    return b"\0" not in start


def _unreadable(start: bytes) -> str | None:
    """Return what a file is that no log can be, and what to do."""
    if start[257:262] == b"ustar":
        return "a tar archive; unpack it"
    if start.startswith(b"ORC") and b"\0" in start:
        return "an ORC file; pass pyarrow.orc.read_table(path)"
    if _PICKLE.match(start):
        return "a Python pickle; load it, and pass the table"
    if _PAGE.match(start):
        return "a page of HTML or XML, perhaps one that says why there is no file; fetch it again"
    return next((kind for mark, kind in _UNREADABLE.items() if start.startswith(mark)), None)


def zip_member(path: Path) -> str:
    """Return the name of the one file that a .zip holds; a DataError if it holds another number."""
    try:
        with zipfile.ZipFile(path) as archive:
            found = [one for one in archive.infolist() if not one.is_dir()]
    except zipfile.BadZipFile as error:
        raise DataError(f"log {path}: it is no .zip file, or a damaged one: {error}") from error
    names = [one.filename for one in found if not one.filename.startswith("__MACOSX/")]
    for start, kind in _OFFICE.items():
        if any(name.startswith(start) for name in names):
            raise DataError(f"log {path}: it is {kind}; save its table as CSV")
    if len(names) != 1:
        shown = f": {', '.join(names[:5])}" if names else ""
        raise DataError(
            f"log {path}: expected a .zip with one file, got {len(names)}{shown}; unpack it"
        )
    if any(one.flag_bits & 1 for one in found):
        raise DataError(f"log {path}: the file in the .zip is encrypted; unpack it")
    return names[0]
