"""A version in the formats of other tools, and a page on how to read it without this package.

::

    numpy       items.npy, users.npy            row i is id i of items_ids.jsonl
    faiss       items.faiss, users.faiss        inner product
    pgvector    items.copy, users.copy          and load.sql with the tables
    projector   vectors.tsv, metadata.tsv       of TensorBoard's embedding projector
    atlas       items.parquet, users.parquet    x, y and neighbours, for embedding-atlas
    word2vec    items.txt, users.txt            the text format of word2vec
    schema      schema.md, schema.json          files, columns, rules, and how to load them
"""

from recsys.export.export import FORMATS, Format, export_version, notes_of
from recsys.export.vector_table import Entities

__all__ = ["FORMATS", "Entities", "Format", "export_version", "notes_of"]
