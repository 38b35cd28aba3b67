"""The maps from features to embeddings in a version, and what encodes attributes for them.

``item_features.parquet`` and ``user_features.parquet`` have a row for each feature, its name and
its embedding: what the map says of an item or a user is the sum of its features' rows, each times
the number of the feature; near-duplicates add to it (`recsys.features.KnownItems`). The metadata of
the schema has the encoder, as JSON.
"""

import json
from pathlib import Path
from typing import TYPE_CHECKING

import pyarrow as pa

from recsys.base.durable import durable_file
from recsys.base.reading import damaged
from recsys.store.manifest import FORMAT
from recsys.store.parquet_files import embedding_column, errors_of_parquet, vectors_of

if TYPE_CHECKING:
    from recsys.features import FeatureMap

FEATURES = {"item": "item_features.parquet", "user": "user_features.parquet"}
_ENCODER = "recsys.encoder"


def write_feature_map(folder: Path, side: str, found: "FeatureMap", space_id: str) -> None:
    """Write the map of one side: feature, embedding."""
    import pyarrow.parquet as pq

    columns = {
        "feature": pa.array(found.encoder.names, pa.string()),
        "embedding": embedding_column(found.map),
    }
    content = json.dumps(found.encoder.to_dict(), ensure_ascii=False)
    metadata = {"recsys.format": str(FORMAT), "space_id": space_id, _ENCODER: content}
    table = pa.table(columns).replace_schema_metadata(metadata)
    with durable_file(folder / FEATURES[side]) as file:
        pq.write_table(table, file, write_statistics=False, write_page_checksum=True)


def read_feature_map(
    folder: Path, side: str, shape: tuple[int, int], space_id: str
) -> "FeatureMap":
    """Read the map of one side; a CorruptVersionError where it is damaged, or of another space."""
    import pyarrow.parquet as pq

    from recsys.features import FeatureEncoder, FeatureMap  # not needed to serve

    path = folder / FEATURES[side]
    with errors_of_parquet(path):
        with pq.ParquetFile(path, page_checksum_verification=True) as file:
            table = file.read()
        metadata = table.schema.metadata or {}
        vectors = vectors_of(table["embedding"])
        encoder = FeatureEncoder.from_dict(json.loads(metadata[_ENCODER.encode()]))
        names = tuple(table["feature"].to_pylist())
        got = (vectors.shape, metadata[b"space_id"].decode(), names == encoder.names)
    if got != (shape, space_id, True):
        raise damaged(
            path,
            f"expected the names of its encoder, {shape[0]} features of {shape[1]} factors and "
            f"space {space_id}, got {got[0]}, {got[1]}",
        )
    return FeatureMap(encoder, vectors)
