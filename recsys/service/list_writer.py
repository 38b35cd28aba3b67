"""Lists as the bytes of an answer, from ready JSON of each item: no object an item on the way."""

from collections.abc import Sequence
from typing import Any, get_args

import numpy as np
import pyarrow as pa
from pydantic_core import to_json

from recsys.base.lazy import lazy_property
from recsys.serving import Recommendations, Source
from recsys.serving.results import RowList, marks
from recsys.store import Content
from recsys.store.item_json import json_of, json_text, titles_of

_MOST_PIECES = 1 << 15  # kept; some 200 bytes each
SOURCES: tuple[Source, ...] = get_args(Source)


class _Pieces(dict[int, str]):
    """The JSON of each item up to its score, by row; those that lists have again are kept."""

    def __init__(self, content: Content) -> None:
        super().__init__()
        self._written, self._ids = content.item_json, content.items.ids
        self._n_with_events = content.items.n_with_events
        self._titles: pa.ChunkedArray | None = None
        if self._written is None:
            self._titles = titles_of(content.attributes)

    def __missing__(self, row: int) -> str:
        if len(self) >= _MOST_PIECES:
            self.clear()
        self[row] = piece = self._made(row).decode(errors="replace")
        return piece

    def _made(self, row: int) -> bytes:
        if self._written is not None:
            return self._written[row]
        title = None if self._titles is None else self._titles[row].as_py()
        return json_of(self._ids[row], title, is_new=self._n_with_events[row] == 0)


class ListWriter:
    """Writes the lists of one version."""

    def __init__(self, content: Content) -> None:
        self._content = content
        self._ids = content.items.ids
        version = json_text(content.version.name)
        self._ends = {source: f'],"source":"{source}","version":{version}}}' for source in SOURCES}

    @lazy_property
    def _pieces(self) -> _Pieces:
        return _Pieces(self._content)

    def text(self, found: RowList) -> str:
        """Return a list: its items with their titles, its source, and the version."""
        boosts = None if found.boost is None else found.boost.tolist()
        return self._text(
            found.rows.tolist(), found.scores, found.source, boosts, marks(found.is_pinned)
        )

    def text_of(self, found: Recommendations) -> str:
        """Return a list of items by their ids."""
        rows = self._ids.rows(item_id for item_id, _ in found).tolist()
        return self._text(rows, np.array([score for _, score in found]), found.source)

    def _text(
        self,
        rows: list[int],
        scores: "np.ndarray[Any, Any]",
        source: Source,
        boosts: Sequence[float] | None = None,
        are_pinned: Sequence[bool] = (),
    ) -> str:
        if not rows:
            return f'{{"items":[{self._ends[source]}'
        pieces = self._pieces
        # All numbers at once, in a quarter of the time of their repr, which they equal.
        numbers = to_json(scores.tolist(), inf_nan_mode="null")[1:-1].decode().split(",")
        if boosts is not None:
            pairs = zip(numbers, boosts, strict=True)
            numbers = [f'{one},"boost":{json_text(added)}' for one, added in pairs]
        for place, is_pinned in enumerate(are_pinned):
            numbers[place] += ',"pinned":true' if is_pinned else ""
        listed = ",".join([f"{pieces[row]}{one}}}" for row, one in zip(rows, numbers, strict=True)])
        return f'{{"items":[{listed}{self._ends[source]}'
