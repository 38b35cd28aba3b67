"""Each item as JSON, ready to be copied into answers: a file of a version, made when it is written.

The JSON of an item ends where its score begins:
``{"item_id":"i7","title":"The Ninth Moon","score":``. One that nobody has yet says so.
"""

import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.reading import damaged, open_array
from recsys.store.serving_files import MAPPED_ITEMS
from recsys.vectors import Id, Ids

_JSON, _STARTS = "json.npy", "json_starts.npy"
_ITEMS_PER_BLOCK = 1 << 16  # that are Python strings at a time


def json_text(value: Any) -> str:
    """Return JSON without blanks, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def json_of(item_id: Id, title: str | None, *, is_new: bool = False) -> bytes:
    """Return an item as JSON up to its score; one without a title has none."""
    titled = "" if title is None else f',"title":{json_text(title)}'
    new = ',"new_item":true' if is_new else ""
    # Half a character, which UTF-8 cannot hold, becomes a question mark.
    return f'{{"item_id":{json_text(item_id)}{titled}{new},"score":'.encode(errors="replace")


def titles_of(attributes: pa.Table | None) -> pa.ChunkedArray | None:
    """Return the titles among the attributes of items, None where there are none."""
    if attributes is None:
        return None
    from recsys.store.title_column import title_column  # not needed to serve

    name = title_column(attributes)
    return None if name is None else attributes[name]


@dataclass(frozen=True, eq=False)
class ItemJson:
    """The JSON of each item of a version, mapped into memory."""

    text: NDArray[np.uint8]
    starts: NDArray[np.int64]  # (n_items + 1,)
    path: Path

    def __getitem__(self, row: int) -> bytes:
        start, end = self.starts[row : row + 2].tolist()
        if not 0 <= start <= end <= len(self.text):
            raise damaged(self.path, f"no text for row {row}")
        return self.text[start:end].tobytes()

    @classmethod
    def open(cls, version: Path, n_items: int) -> Self | None:
        """Map that of a version; None where it was made before there was any."""
        folder = version / MAPPED_ITEMS
        if not (folder / _STARTS).exists():
            return None
        text = open_array(folder / _JSON)
        if text.dtype != np.uint8 or text.ndim != 1:
            raise damaged(folder / _JSON, f"expected bytes, got {text.dtype} of {text.shape}")
        starts = open_array(folder / _STARTS, np.int64, (n_items + 1,))
        return cls(text, starts, folder / _STARTS)


def write_item_json(
    version: Path, ids: Ids, attributes: pa.Table | None, is_new: NDArray[np.bool_]
) -> None:
    """Write the JSON of each item, a block of them at a time."""
    folder = version / MAPPED_ITEMS
    lengths = np.zeros(len(ids) + 1, dtype=np.int64)
    blocks = []
    for first, pieces in _pieces(ids, titles_of(attributes), is_new):
        lengths[first + 1 : first + 1 + len(pieces)] = [len(piece) for piece in pieces]
        blocks.append(np.frombuffer(b"".join(pieces), dtype=np.uint8))
    np.save(folder / _JSON, np.concatenate(blocks or [np.empty(0, dtype=np.uint8)]))
    np.save(folder / _STARTS, np.cumsum(lengths))


def _pieces(
    ids: Ids, titles: pa.ChunkedArray | None, is_new: NDArray[np.bool_]
) -> Iterator[tuple[int, list[bytes]]]:
    for first in range(0, len(ids), _ITEMS_PER_BLOCK):
        listed = ids.values.slice(first, _ITEMS_PER_BLOCK).to_pylist()
        named: Iterable[str | None] = [None] * len(listed)
        if titles is not None:
            named = titles.slice(first, _ITEMS_PER_BLOCK).to_pylist()
        new = is_new[first : first + len(listed)].tolist()
        yield (
            first,
            [json_of(*one, is_new=new) for *one, new in zip(listed, named, new, strict=True)],
        )
