"""The text format of word2vec, which gensim and others read.

A word ends at the first space there: white space, control characters and the per cent sign of an id
are percent-encoded as in a URL; `urllib.parse.unquote` gives the id back.
"""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

from recsys.errors import DataError
from recsys.store.content import Content
from recsys.store.export.source import Source
from recsys.store.export.text import vector_texts, write_lines
from recsys.vectors import Id


def write(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:  # noqa: ARG001
    """Write items.txt and users.txt: a line with rows and factors, then an id and its vector.

    Raises
    ------
    DataError
        If an id is empty.
    """
    files = {}
    for source in sources:
        name = f"{source.kind}.txt"
        write_lines(folder / name, _blocks(source))
        files[name] = {"rows": len(source.ids), "ids": "percent-encoded"}
    return files


def _blocks(source: Source) -> Iterator[list[str]]:
    n_rows, factors = source.shape
    yield [f"{n_rows} {factors}"]
    for block in source.blocks():
        rows = zip(block.ids, vector_texts(block.vectors, " "), strict=True)
        yield [f"{_word(source, id_)} {text}" for id_, text in rows]


def _word(source: Source, id_: Id) -> str:
    text = str(id_)
    if not text:
        raise DataError(
            f"export: expected a {source.id_name} of one character or more for word2vec, got ''; "
            "choose another format"
        )
    if text.isprintable() and not any(one.isspace() or one == "%" for one in text):
        return text
    return "".join(
        one if one.isprintable() and not one.isspace() and one != "%" else _encoded(one)
        for one in text
    )


def _encoded(character: str) -> str:
    return "".join(f"%{byte:02X}" for byte in character.encode())
