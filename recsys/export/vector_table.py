"""Users or items to export, read in blocks, so that memory does not grow with their number.

Or a sample of them, for a tool that cannot take all.
"""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace
from typing import Literal

import numpy as np
import pyarrow as pa
from numpy.typing import NDArray

from recsys.base.errors import ConfigError, DataError, briefly
from recsys.maps import StratifiedSample, popularity_of, stratified_sample
from recsys.store.content import Content
from recsys.store.parquet_files import ItemTable, UserTable
from recsys.vectors import FloatMatrix, Id, Ids
from recsys.vectors.storage import encode

Entities = Literal["users", "items"]
"""Whose vectors are meant."""

DType = Literal["float32", "float16"]
OnRows = Callable[[int], None]

_BLOCK_BYTES = 8 * 1024**2  # of vectors; as text they take some three times as much
_IDS_PER_BLOCK = 1 << 16


@dataclass(frozen=True)
class VectorBlock:
    """Consecutive rows."""

    first: int  # row
    ids: list[Id]
    vectors: NDArray[np.floating]  # (n, factors), float32 or float16


@dataclass(frozen=True, eq=False)
class VectorTable:
    """The users or the items of a version."""

    kind: Entities
    ids: Ids
    embeddings: FloatMatrix  # (n, factors), perhaps memory-mapped
    attributes: pa.Table | None  # row i describes row i; without the ids
    dtype: DType  # of the vectors of the blocks
    on_rows: OnRows  # called with the number of rows after each block
    sample: StratifiedSample | None = None  # row i is its i-th, where there is one

    @property
    def id_name(self) -> str:
        """Name of the ids: "user_id" or "item_id"."""
        return f"{self.kind[:-1]}_id"

    @property
    def idx_name(self) -> str:
        """Name of the row numbers: "user_idx" or "item_idx"."""
        return f"{self.kind[:-1]}_idx"

    @property
    def idx(self) -> "NDArray[np.int32] | range":
        """The row of the version that each row is, (n,)."""
        return range(len(self.ids)) if self.sample is None else self.sample.rows

    @property
    def shape(self) -> tuple[int, int]:
        """Rows and factors."""
        return len(self.ids), self.embeddings.shape[1]

    def blocks(self) -> Iterator[VectorBlock]:
        """Yield all rows in order; a DataError for a vector beyond the range of float16."""
        size = max(1, _BLOCK_BYTES // (4 * self.shape[1]))
        for first, ids in self.id_blocks(size):
            vectors = np.array(self.embeddings[first : first + size])
            yield VectorBlock(first, ids, self._encoded(vectors))
            self.on_rows(len(ids))

    def id_blocks(self, size: int = _IDS_PER_BLOCK) -> Iterator[tuple[int, list[Id]]]:
        """Yield the ids of all rows in order, and the row of the first of them."""
        for first in range(0, len(self.ids), size):
            yield first, self.ids.values.slice(first, size).to_pylist()

    def _encoded(self, vectors: FloatMatrix) -> NDArray[np.floating]:
        stored = encode(vectors, self.dtype)
        if stored.scale.max() != 1:
            raise DataError(
                f"export: expected {self.kind} with values below 32768, which float16 can hold, "
                f"got {np.abs(vectors).max():.6g}; export float32"
            )
        return stored.values  # type: ignore[return-value]  # never int8


def vector_tables(
    content: Content,
    kinds: tuple[Entities, ...],
    dtype: DType,
    on_rows: OnRows,
    most: int | None = None,
) -> list[VectorTable]:
    """Return the users, the items or both of a version, in the order asked for.

    Of more than `most` a sample by strata of popularity.
    """
    tables: dict[Entities, UserTable | ItemTable] = {"users": content.users, "items": content.items}
    if not kinds or any(kind not in tables for kind in kinds):
        raise ConfigError(f"export: expected users, items or both, got {briefly(kinds)}")
    found = []
    for kind in dict.fromkeys(kinds):
        attributes = content.attributes if kind == "items" else None
        if attributes is not None:
            attributes = attributes.drop_columns("item_id")
        table = tables[kind]
        whole = VectorTable(kind, table.ids, table.embeddings, attributes, dtype, on_rows)
        is_large = most is not None and len(table.ids) > most
        found.append(_sampled(whole, content, most) if most and is_large else whole)
    return found


def _sampled(table: VectorTable, content: Content, most: int) -> VectorTable:
    sample = stratified_sample(popularity_of(content, table.kind), table.ids, most)
    attributes = None if table.attributes is None else table.attributes.take(pa.array(sample.rows))
    return replace(
        table,
        ids=table.ids.take(sample.rows),
        embeddings=np.asarray(table.embeddings[sample.rows], np.float32),
        attributes=attributes,
        sample=sample,
    )
