"""TensorBoard's embedding projector: vectors.tsv, metadata.tsv and projector_config.pbtxt.

``tensorboard --logdir FOLDER``, or load the two files at projector.tensorflow.org.
"""

from collections.abc import Sequence
from pathlib import Path
from typing import Any

from recsys.store.content import Content
from recsys.store.export.source import Block, Source
from recsys.store.export.text import vector_texts, write_lines

CONFIG = "projector_config.pbtxt"

# The format cannot quote: what would end a cell is shown as Python writes it.
_ESCAPES = str.maketrans({"\\": "\\\\", "\t": "\\t", "\n": "\\n", "\r": "\\r"})


def write(folder: Path, sources: Sequence[Source], content: Content) -> dict[str, Any]:
    """Write a folder for items and one for users, and the config that names them."""
    manifest = content.version.manifest
    files = {}
    config = [f"# recsys version {manifest.version}, space {manifest.space_id}"]
    for source in sources:
        vectors, metadata = f"{source.kind}/vectors.tsv", f"{source.kind}/metadata.tsv"
        (folder / source.kind).mkdir()
        write_lines(
            folder / vectors, (vector_texts(block.vectors, "\t") for block in source.blocks())
        )
        _write_metadata(folder / metadata, source)
        config += _entry(source, vectors, metadata)
        files[vectors] = {"rows": len(source.ids), "metadata": metadata}
    write_lines(folder / CONFIG, [config])
    return files


def _entry(source: Source, vectors: str, metadata: str) -> list[str]:
    return [
        "embeddings {",
        f'  tensor_name: "{source.kind}"',
        f'  tensor_path: "{vectors}"',
        f'  metadata_path: "{metadata}"',
        "}",
    ]


def _write_metadata(path: Path, source: Source) -> None:
    """Write the id and row, and what is known of the items; one line a row, below a heading."""
    columns = [] if source.attributes is None else source.attributes.column_names
    heading = "\t".join(_cell(name) for name in (source.id_name, source.idx_name, *columns))
    write_lines(path, _blocks_below(heading, source))


def _blocks_below(heading: str, source: Source) -> Any:
    size = 1 << 16
    yield [heading]
    for first in range(0, len(source.ids), size):
        block = Block(
            first, source.ids.values.slice(first, size).to_pylist(), source.embeddings[:0]
        )
        yield _described(block, source)


def _described(block: Block, source: Source) -> list[str]:
    known: list[list[Any]] = []
    if source.attributes is not None:
        part = source.attributes.slice(block.first, len(block.ids))
        known = [column.to_pylist() for column in part.columns]
    return [
        "\t".join((_cell(id_), str(block.first + place), *(_cell(one[place]) for one in known)))
        for place, id_ in enumerate(block.ids)
    ]


def _cell(value: Any) -> str:
    return "" if value is None else str(value).translate(_ESCAPES)
