"""From columns of a table to a sparse matrix, and what is learned on the way."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self, TypeAlias, cast

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import scipy.sparse as sp

from recsys.base.errors import ConfigError, DataError, briefly, did_you_mean
from recsys.features.columns import (
    FEATURE_KINDS,
    ColumnEncoder,
    FeatureKind,
    Number,
    Quantiles,
    Vector,
    as_array,
    is_list,
)
from recsys.features.factored import FeatureRows
from recsys.features.terms import Terms, separator_of, words_of
from recsys.vectors import Ids

Columns: TypeAlias = Sequence[str] | Mapping[str, str]
"""Names of columns; a mapping says their kinds, and ``"auto"`` that one is to be found."""

AUTO = "auto"
MIN_COUNT = 2  # rows, below which a category or an entry of a list has no column
CONSTANT = "*"  # the name of the feature that every described row has
_MOST = 8192  # categories and words with a column, in all columns together
_FEW_NUMBERS = 32  # distinct integers, below which they are categories
_ROWS_PER_CATEGORY = 10  # at least, for integers
_WORDS = 2.0  # of a text, on average, from which it is no category


@dataclass(frozen=True, eq=False)
class FeatureEncoder:
    """What was learned of the columns of a table, which encodes a later one in the same way.

    Parameters
    ----------
    columns : mapping of str to ColumnEncoder
        By name of the column, in the order of their features.

    Examples
    --------
    >>> table = pa.table({"item_id": [1, 2, 3], "color": ["red", "blue", "red"]})
    >>> encoder = FeatureEncoder.learn(table, {"color": "category"}, min_count=1)
    >>> encoder.names
    ('*', 'color=red', 'color=blue')
    >>> encoder.encode(table).toarray().tolist()
    [[1.0, 1.0, 0.0], [1.0, 0.0, 1.0], [1.0, 1.0, 0.0]]
    """

    columns: Mapping[str, ColumnEncoder]

    @classmethod
    def learn(
        cls, table: pa.Table, columns: Columns, *, min_count: int = MIN_COUNT, of: str = "item"
    ) -> Self:
        """Learn from a table how its columns are encoded.

        Parameters
        ----------
        columns : sequence of str, or mapping of str to str
            What is encoded. A mapping says the kind of each: "category", "list" (of entries, or
            of text with ``|``, ``;`` or ``,`` between them), "text", "number" (standardized),
            "quantiles" (piecewise linear), "vector" (an embedding, taken as it is), or "auto".
        min_count : int
            A category or an entry of a list of fewer rows has no column; every word of a text has.
        of : {"item", "user"}
            What the table describes, for errors.

        Raises
        ------
        DataError
            If a column is missing or of a type that cannot be encoded.
        ConfigError
            If there is no such kind.
        """
        kinds = dict(columns) if isinstance(columns, Mapping) else dict.fromkeys(columns, AUTO)
        place = f"model.{of}_features"
        if not kinds:
            raise ConfigError(f"{place}: expected the name of a column at least, got none")
        for name, kind in kinds.items():
            _require_column(place, table, name, kind)
        most = _MOST // len(kinds)
        return cls(
            {name: _learned(place, table, name, kinds[name], min_count, most) for name in kinds}
        )

    @property
    def names(self) -> tuple[str, ...]:
        """What each feature stands for: the constant, then "column=what"."""
        of_columns = (
            f"{column}={name}" if name else column
            for column, encoder in self.columns.items()
            for name in encoder.names
        )
        return (CONSTANT, *of_columns)

    def __len__(self) -> int:
        return 1 + sum(len(encoder.names) for encoder in self.columns.values())

    def encode(self, table: pa.Table) -> sp.csr_array:
        """Return the features of each row, float32 (n, n_features); see `rows`."""
        return self.rows(table).tocsr()

    def rows(self, table: pa.Table) -> FeatureRows:
        """Return the features of each row, those of parts of words as a product.

        A row without any value is one of zeros: nothing is known of it.

        Raises
        ------
        DataError
            If the table lacks a column, or has one of another type.
        """
        is_known = np.zeros(table.num_rows, dtype=np.bool_)
        ones = np.ones((table.num_rows, 1), dtype=np.float32)
        blocks = [FeatureRows(sp.csr_array(ones))]
        for name, encoder in self.columns.items():
            if name not in table.column_names:
                raise DataError(
                    f"features: expected the column {name!r} in the table of attributes, as the "
                    f"model was trained with it, got {', '.join(table.column_names)}"
                    f"{did_you_mean(name, table.column_names)}; give a table that has it, or train "
                    "without it (model.item_features, model.user_features)"
                )
            values = as_array(table[name])
            try:
                blocks.append(FeatureRows.of(encoder.encode(values)))
            except (pa.ArrowException, DataError) as error:
                raise DataError(f"features: column {name!r}, {values.type}: {error}") from error
            is_known |= pc.is_valid(values).to_numpy(zero_copy_only=False)
        return FeatureRows.beside(blocks).scaled(is_known)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {name: encoder.to_dict() for name, encoder in self.columns.items()}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Return what `to_dict` wrote."""
        return cls({name: _encoder_from(one) for name, one in content.items()})


@dataclass(frozen=True, eq=False)
class Encoded:
    """The features of all rows of a table, found by their ids.

    Parameters
    ----------
    encoder : FeatureEncoder
    ids : Ids
        Of the rows.
    features : FeatureRows
        Of the rows, shape (len(ids), n_features).
    table : pyarrow.Table
        That was encoded.
    """

    encoder: FeatureEncoder
    ids: Ids
    features: FeatureRows
    table: pa.Table

    @classmethod
    def of(cls, encoder: FeatureEncoder, table: pa.Table, ids: Ids) -> Self:
        """Encode a table with those ids."""
        return cls(encoder, ids, encoder.rows(table), table)

    def rows(self, ids: Ids) -> FeatureRows:
        """Return the features of other ids, in their order; zeros for one that is not here."""
        rows = self.ids.rows_of(ids)
        is_here = rows >= 0
        return self.features.take(np.where(is_here, rows, 0)).scaled(is_here)


def _encoder_from(content: Mapping[str, Any]) -> ColumnEncoder:
    """Return the encoder of a column as its `to_dict` wrote it."""
    rest = dict(content)
    kind = rest.pop("kind")
    made: Any = {"number": Number, "quantiles": Quantiles, "vector": Vector}.get(kind)
    found = {key: tuple(one) if isinstance(one, list) else one for key, one in rest.items()}
    terms: Any = Terms
    encoder: ColumnEncoder = terms(of=kind, **found) if made is None else made(**found)
    return encoder


def _require_column(place: str, table: pa.Table, name: str, kind: str) -> None:
    if name not in table.column_names:
        known = table.column_names
        raise DataError(
            f"{place}: expected columns of the table, got {briefly(name)}; it has "
            f"{', '.join(known)}{did_you_mean(name, known)}"
        )
    if kind not in (AUTO, *FEATURE_KINDS):
        raise ConfigError(
            f"{place}.{name}: expected a kind, one of {', '.join((AUTO, *FEATURE_KINDS))}"
            f", got {briefly(kind)}{did_you_mean(kind, FEATURE_KINDS)}"
        )


def _learned(
    place: str, table: pa.Table, name: str, kind: str, min_count: int, most: int
) -> ColumnEncoder:
    values = as_array(table[name])
    try:
        found = kind_of(values) if kind == AUTO else cast(FeatureKind, kind)
        if found == "number":
            return Number.learn(values, min_count)
        if found == "quantiles":
            return Quantiles.learn(values, min_count)
        if found == "vector":
            return Vector.learn(values, min_count)
        return Terms.learn(found, values, min_count, most)
    except (pa.ArrowException, DataError) as error:
        raise DataError(
            f"{place}: column {name!r}, {values.type}, cannot be encoded"
            f"{'' if kind == AUTO else f' as {kind!r}'}: {error}; convert it, or leave it out"
        ) from error


def kind_of(values: pa.Array) -> FeatureKind:
    """Return the kind of a column: by its type, and of texts and integers by what they hold."""
    type_ = values.type
    if is_list(type_):
        return "vector" if pa.types.is_floating(type_.value_type) else "list"
    if pa.types.is_boolean(type_):
        return "category"
    if pa.types.is_integer(type_):
        n_distinct = pc.count_distinct(values).as_py()
        few = n_distinct <= min(_FEW_NUMBERS, len(values) / _ROWS_PER_CATEGORY)
        return "category" if few else "quantiles"
    if pa.types.is_floating(type_) or pa.types.is_decimal(type_) or pa.types.is_temporal(type_):
        return "quantiles"
    if not (pa.types.is_string(type_) or pa.types.is_large_string(type_)):
        raise DataError("expected text, numbers, dates, booleans or lists of these")
    text = values.cast(pa.large_string())
    if separator_of(text) is not None:
        return "list"
    words = pc.mean(pc.list_value_length(words_of(text)).cast(pa.float64())).as_py() or 0.0
    n_there = len(values) - values.null_count
    is_rare = pc.count_distinct(values).as_py() > n_there / 2
    return "text" if words >= _WORDS and is_rare else "category"
