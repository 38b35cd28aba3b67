"""The list of a user as JSON, in one call: what a server is asked for again and again."""

import ctypes
import threading
from collections.abc import Callable
from functools import lru_cache
from hashlib import blake2b
from typing import Any, Self

from recsys.index import Searcher, compiled
from recsys.store import Content
from recsys.store.item_json import ItemJson, json_text
from recsys.store.serving_files import FileArray
from recsys.vectors.id_table import n_home_slots
from recsys.vectors.ids import canonical

_OUT_BYTES = 1 << 18  # of a list; a longer one is made by `RowLists`
_LENGTHS = 64  # kept
_NO_FILE = (-1, 0, 0)


class PlainLists:
    """Makes the lists of users without conditions as the JSON of an answer, by plain_list.c.

    They are those of `RowLists.recommend`, of source "personal". Threads may share one.
    """

    def __init__(self, content: Content, index: Searcher, items: ItemJson) -> None:
        self._content, self._index, self._items = content, index, items
        version = json_text(content.version.name)
        self._ending = f'],"source":"personal","version":{version}}}'.encode()
        self._n_items = len(content.items.ids)
        self._limits: Callable[[int], tuple[int, int]] = lru_cache(_LENGTHS)(index.limits)
        self._threads = threading.local()
        self._search = compiled.library.plain_list

    @classmethod
    def of(cls, content: Content) -> Self | None:
        """Return those of a version; None where its files or its index are of another kind."""
        index, items = content.index, content.item_json
        if items is None or not isinstance(index, Searcher):
            return None
        return cls(content, index, items)

    def json(self, user_id: str, k: int) -> bytes | None:
        """Return the list of a user; None where it is out of the ordinary, or nothing is known.

        `RowLists` makes such a list, or says what is wrong.
        """
        spelled = canonical(user_id, integers=self._content.user_lookup.are_integers)
        if spelled is None:
            return None
        text = str(spelled).encode(errors="surrogatepass")
        digest, k = blake2b(text, digest_size=16).digest(), min(k, self._n_items)
        asked, out = self._of_thread()
        n = self._search(asked, digest, text, len(text), k, *self._limits(k))
        return out[:n].tobytes() if n else None

    def _of_thread(self) -> tuple[Any, memoryview]:
        """Return what this thread asks with, and the memory that it is answered in."""
        found: tuple[Any, memoryview] | None = getattr(self._threads, "found", None)
        if found is None:
            found = self._threads.found = self._pointers()
        return found

    def _pointers(self) -> tuple[Any, memoryview]:
        users = self._content.user_lookup
        out = ctypes.create_string_buffer(_OUT_BYTES)
        files = {
            "slots": users.slots,
            "numbers": users.ids.numbers,
            "text": users.ids.text,
            "embeddings": users.embeddings,
            "scales": users.scale,
            "seen_starts": users.starts,
            "seen": users.item_idx,
        }
        made = self._index.plain_lists(
            json=self._items.text.ctypes.data,
            json_starts=self._items.starts.ctypes.data,
            ending=self._ending,
            out=ctypes.addressof(out),
            n_json=len(self._items.text),
            n_ending=len(self._ending),
            n_out=_OUT_BYTES,
            n_users=users.n,
            n_homes=n_home_slots(users.n),
            **{name: compiled.FileNumbers(*_place(file)) for name, file in files.items()},
        )
        return made, memoryview(out)


def _place(file: FileArray | None) -> tuple[int, int, int]:
    return _NO_FILE if file is None else file.place
