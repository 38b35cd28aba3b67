"""Lists as the bytes of an answer, from ready JSON of each item: no object an item on the way."""

import json
from typing import Any, get_args

import numpy as np
import pyarrow as pa
from pydantic_core import to_json

from recsys.base.lazy import lazy_property
from recsys.serving import Recommendations, Source
from recsys.serving.results import RowList
from recsys.store import Content

_MOST_PIECES = 1 << 17  # kept; some 200 bytes each
SOURCES: tuple[Source, ...] = get_args(Source)


def json_text(value: Any) -> str:
    """Return JSON without blanks, in UTF-8."""
    return json.dumps(value, ensure_ascii=False, separators=(",", ":"))


class _Pieces(dict[int, str]):
    """The JSON of each item up to its score, by row, made when it is first asked for.

    Those that lists have again and again are kept. An item without a title has none.
    """

    def __init__(self, content: Content, titles: pa.ChunkedArray | None) -> None:
        super().__init__()
        self._ids, self._titles = content.items.ids, titles

    def __missing__(self, row: int) -> str:
        known: dict[str, Any] = {"item_id": self._ids[row]}
        title = None if self._titles is None else self._titles[row].as_py()
        if title is not None:
            known["title"] = title
        if len(self) >= _MOST_PIECES:
            self.clear()
        self[row] = piece = f'{json_text(known)[:-1]},"score":'
        return piece


class ListWriter:
    """Writes the lists of one version."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._ids = content.items.ids
        version = json_text(content.version.name)
        self._ends = {source: f'],"source":"{source}","version":{version}}}' for source in SOURCES}

    @lazy_property
    def _pieces(self) -> _Pieces:
        table, titles = self._content.attributes, None
        if table is not None:
            from recsys.serving.plain_titles import title_column

            name = title_column(table)
            titles = None if name is None else table[name].combine_chunks()
        return _Pieces(self._content, titles)

    def text(self, found: RowList) -> str:
        """Return a list: its items with their titles, its source, and the version."""
        return self._text(found.rows.tolist(), found.scores, found.source)

    def text_of(self, found: Recommendations) -> str:
        """Return a list of items by their ids."""
        rows = self._ids.rows(item_id for item_id, _ in found).tolist()
        return self._text(rows, np.array([score for _, score in found]), found.source)

    def _text(self, rows: list[int], scores: "np.ndarray[Any, Any]", source: Source) -> str:
        if not rows:
            return f'{{"items":[{self._ends[source]}'
        pieces = self._pieces
        # All numbers at once, in a quarter of the time of their repr, which they equal.
        numbers = to_json(scores.tolist(), inf_nan_mode="null")[1:-1].decode().split(",")
        listed = ",".join([f"{pieces[row]}{one}}}" for row, one in zip(rows, numbers, strict=True)])
        return f'{{"items":[{listed}{self._ends[source]}'
