"""Tables of items and users that a model knows, encoded: what a fit and a version take."""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any, Self

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc

from recsys.base.errors import ConfigError, DataError, briefly, did_you_mean
from recsys.base.feature_settings import FeatureSettings
from recsys.features.alike import KnownItems
from recsys.features.encoder import Encoded, FeatureEncoder
from recsys.features.features import Features
from recsys.features.ridge import vectors_of_features
from recsys.logs import Interactions, attributes_of
from recsys.logs.attribute_rows import rows_of_others
from recsys.vectors import Embeddings, FloatMatrix, Ids
from recsys.vectors.ids import Kind

_FLAGS = {"item": "--items", "user": "--user-table"}


@dataclass(frozen=True, eq=False)
class FeatureMap:
    """How attributes become embeddings: the encoder, and the map of what it encodes.

    Parameters
    ----------
    encoder : FeatureEncoder
    map : ndarray of float32, shape (n_features, factors)
    known : KnownItems, optional
        Those that new items are compared to. Default: the map alone says what attributes do.
    """

    encoder: FeatureEncoder
    map: FloatMatrix
    known: KnownItems | None = None

    def vectors(self, table: pa.Table) -> FloatMatrix:
        """Return the embeddings of rows of a table by their attributes, (n, factors).

        A row without any value has a zero embedding: nothing is known of it.
        """
        rows = self.encoder.rows(table)
        if self.known is not None:
            return self.known.vectors(rows)
        return vectors_of_features(rows, self.map)

    def vector_of(self, attributes: Mapping[str, Any], name: str) -> FloatMatrix:
        """Return the embedding of one by what is known of it, (1, factors).

        A DataError names the argument where a column is unknown, or its value cannot be read.
        """
        columns = self.encoder.columns
        for column in attributes:
            if column not in columns:
                raise DataError(
                    f"{name}: expected attributes that the model knows, {', '.join(columns)}, got "
                    f"{briefly(column)}{did_you_mean(str(column), columns)}"
                )
        nothing = {"vector": pa.list_(pa.float32())}
        try:
            table = {
                column: pa.array([attributes.get(column)], nothing.get(encoder.kind))
                for column, encoder in columns.items()
            }
            return self.vectors(pa.table(table))
        except (pa.ArrowException, DataError, TypeError, ValueError, OverflowError) as error:
            raise DataError(
                f"{name}: expected values as the table of {name.removesuffix('_attributes')}s has "
                f"them, got others: {error}"
            ) from error


@dataclass(frozen=True, eq=False)
class Described:
    """What is known of items and users by id; None where a model is not to know it."""

    items: Encoded | None = None
    users: Encoded | None = None

    @classmethod
    def of(
        cls, settings: FeatureSettings, items: pa.Table | None, users: pa.Table | None
    ) -> Self | None:
        """Encode the tables as settings say; None where they name no column.

        Raises
        ------
        ConfigError
            If there is no table of what is to be known.
        DataError
            If a column is missing, or cannot be encoded.
        """
        if not settings:
            return None
        return cls(_encoded("item", settings.items, items), _encoded("user", settings.users, users))

    def features(self, log: Interactions) -> Features:
        """Return the features of the rows of a log."""
        return Features(
            None if self.items is None else self.items.rows(log.items),
            None if self.users is None else self.users.rows(log.users),
        )

    def vectors_of_new(
        self, train: Interactions, test: Interactions, embeddings: Embeddings
    ) -> FloatMatrix | None:
        """Return the embeddings of the new items of a test part; None where nothing is known."""
        new = None if test.split_info is None else test.split_info.new_items
        if self.items is None or embeddings.item_map is None or new is None:
            return None
        n_users = np.bincount(train.user_items().indices, minlength=len(train.items))
        known = KnownItems.of(
            self.items.rows(train.items), embeddings.items, n_users, embeddings.item_map
        )
        return known.vectors(self.items.rows(new.items))

    def with_new_items(self, log: Interactions) -> Interactions:
        """Return a log with the items of the table that nobody has touched, after its own."""
        if self.items is None:
            return log
        is_known = self.items.features.is_known
        joined, _ = log.items.joined(self.items.ids.take(np.flatnonzero(is_known)))
        if len(joined) == len(log.items):
            return log
        dislikes = None if log.dislikes is None else replace(log.dislikes, items=joined)
        return replace(log, items=joined, dislikes=dislikes)

    @property
    def encoders(self) -> Mapping[str, FeatureEncoder]:
        """The encoders by side, "item" and "user"."""
        found = {"item": self.items, "user": self.users}
        return {side: one.encoder for side, one in found.items() if one is not None}


def users_by_attributes(
    encoder: FeatureEncoder | None, table: pa.Table | None, users: Ids
) -> pa.Table | None:
    """Return the rows of users who are only in a table, and of whom an encoder knows something.

    None where there is none, or no model that knows users by their attributes.
    """
    if encoder is None or table is None:
        return None
    others = rows_of_others(table, users, "user")
    found = others.filter(pa.array(encoder.rows(others).is_known)) if len(others) else others
    return found if len(found) else None


def features_of(described: Described | None, log: Interactions) -> Features | None:
    """Return the features of the rows of a log; None where a model knows of none."""
    return None if described is None else described.features(log)


def _encoded(side: Kind, columns: Mapping[str, str], table: pa.Table | None) -> Encoded | None:
    """Encode the first row of each id of a table."""
    if not columns:
        return None
    if table is None:
        raise ConfigError(
            f"model.{side}_features: expected a table with the columns "
            f"{', '.join(columns)}, got none; name it: {_FLAGS[side]} (data.{side}s)"
        )
    key = f"{side}_id"
    table = table.filter(pc.is_valid(table[key]))
    ids = Ids(pc.unique(_plain_ids(table[key])))
    rows = attributes_of(table, ids, side)
    return Encoded.of(FeatureEncoder.learn(rows, columns, of=side), rows, ids)


def _plain_ids(column: pa.ChunkedArray) -> pa.Array:
    """Return ids as integers or text; whole floats are integers."""
    found = column.cast(column.type.value_type) if pa.types.is_dictionary(column.type) else column
    if pa.types.is_floating(found.type) or pa.types.is_decimal(found.type):
        found = found.cast(pa.int64())
    return found.combine_chunks()


def facts_of(
    encoders: Mapping[str, FeatureEncoder], ridges: Mapping[str, float]
) -> dict[str, dict[str, Any]]:
    """Return what a manifest keeps of each side: columns with their kinds, how many features.

    And the ridge of their map, which the fit has chosen where its setting is "auto".
    """
    found: dict[str, dict[str, Any]] = {}
    for side, encoder in encoders.items():
        found[f"{side}s"] = {
            "columns": {name: one["kind"] for name, one in encoder.to_dict().items()},
            "n_features": len(encoder),
        }
        if side in ridges:
            found[f"{side}s"]["ridge"] = ridges[side]
    return found
