"""Blocks of bytes of a text file, decompressed and as UTF-8, in bounded memory."""

import bz2
import codecs
import zipfile
import zlib
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Protocol

import pyarrow as pa

from recsys.base.errors import DataError
from recsys.logs.sources import LogFile, zip_member

BLOCK_BYTES = 4 << 20
_MARKS = (  # that of UTF-32 begins with that of UTF-16
    (codecs.BOM_UTF8, "utf-8"),
    (codecs.BOM_UTF32_LE, "utf-32-le"),
    (codecs.BOM_UTF32_BE, "utf-32-be"),
    (codecs.BOM_UTF16_LE, "utf-16-le"),
    (codecs.BOM_UTF16_BE, "utf-16-be"),
)
_ERRORS_OF_STREAMS = (OSError, EOFError, zlib.error, zipfile.BadZipFile, RuntimeError)
_NAMES_OF_UTF8 = ("utf-8", "utf8", "utf_8", "ascii")


class _Readable(Protocol):
    def read(self, size: int, /) -> bytes: ...


def blocks(file: LogFile, encoding: str = "auto") -> Iterator[tuple[bytes, bool]]:
    """Yield decompressed blocks in UTF-8, without a byte order mark, and whether each is the last.

    Bytes that are not UTF-8 pass where no other encoding is named: they spoil their own line.

    Raises
    ------
    DataError
        If the file cannot be read or decompressed, or is not of the encoding that is named.
    """
    try:
        with _opened(file) as stream:
            block = stream.read(BLOCK_BYTES)
            mark, marked = next((one for one in _MARKS if block.startswith(one[0])), (b"", "utf-8"))
            block, decode = block[len(mark) :], _decoder(file, encoding, marked)
            while True:
                following = stream.read(BLOCK_BYTES)
                yield decode(block, not following), not following
                if not following:
                    return
                block = following
    except _ERRORS_OF_STREAMS as error:
        kind = f"damaged or truncated {file.compression} file" if file.compression else "unreadable"
        raise DataError(f"log {file.name}: {kind}: {error}") from error


def marked_encoding(file: LogFile) -> str | None:
    """Return the encoding that a byte order mark says, unless it is UTF-8."""
    with suppress(*_ERRORS_OF_STREAMS), _opened(file) as stream:
        start = stream.read(4)
        found = next((name for mark, name in _MARKS if start.startswith(mark)), None)
        return None if found == "utf-8" else found
    return None  # who reads on says what is wrong


@contextmanager
def _opened(file: LogFile) -> Iterator[_Readable]:
    if file.compression == "zip":
        with zipfile.ZipFile(file.path) as archive, archive.open(zip_member(file.path)) as member:
            yield member
    elif file.compression == "bz2":
        with bz2.open(file.path) as stream:
            yield stream
    else:
        with pa.input_stream(str(file.path), compression=file.compression) as stream:
            yield stream


class _Decode(Protocol):
    def __call__(self, block: bytes, is_last: bool, /) -> bytes: ...


def _decoder(file: LogFile, encoding: str, marked: str) -> _Decode:
    name = marked if encoding == "auto" or marked != "utf-8" else encoding
    if name.lower() in _NAMES_OF_UTF8:
        return lambda block, _is_last: block
    decoder = codecs.getincrementaldecoder(name)()

    def decode(block: bytes, is_last: bool) -> bytes:
        try:
            return decoder.decode(block, is_last).encode()
        except UnicodeError as error:
            raise DataError(
                f"log {file.name}: expected {name} text, got bytes that are none: {error.args[-1]};"
                " set log.encoding"
            ) from error

    return decode
