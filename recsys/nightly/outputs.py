"""What stages leave: facts, as dataclasses, and files that are read back bit for bit."""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Any, Self

import numpy as np
import pyarrow as pa

from recsys.base.durable import durable_file
from recsys.config import Settings
from recsys.logs import Interactions, RowCounts
from recsys.vectors import Embeddings, Ids


@dataclass(frozen=True)
class StageResult:
    """What a stage found out and is worth keeping, next to the files that it wrote."""

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return asdict(self)

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """Return what `to_dict` has written."""
        return cls(**facts)


@dataclass(frozen=True)
class Ingested(StageResult):
    """What was read; `newest_event` is ISO 8601 in UTC, None for a log without time."""

    row_counts: RowCounts
    events: int
    users: int
    items: int
    rows_read: int
    rejected: int
    files_read: int
    files_reused: int
    newest_event: str | None
    live: Mapping[str, int] = field(default_factory=dict)  # of the service, see recsys.events.Taken

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        facts = asdict(self)
        return {"account": facts.pop("row_counts"), **facts}

    @classmethod
    def from_dict(cls, facts: Mapping[str, Any]) -> Self:
        """Return what `to_dict` has written."""
        others = {name: value for name, value in facts.items() if name != "account"}
        return cls(row_counts=RowCounts.from_dict(facts["account"]), **others)


@dataclass(frozen=True)
class Validated(StageResult):
    """What the later stages will find; None where the settings ask for no such thing."""

    train_events: int | None = None
    test_events: int | None = None
    described_items: int | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {name: n for name, n in asdict(self).items() if n is not None}


@dataclass(frozen=True)
class Chosen(StageResult):
    """The model, and how it was chosen where the settings name none: tonight, or by a parent."""

    model: Mapping[str, Any]
    source: str
    choice: Mapping[str, Any] | None = None


@dataclass(frozen=True)
class Trained(StageResult):
    """How the fit began, "cold" or "warm", and its hyperparameters; warm, epochs may be fewer."""

    start: str
    factors: int
    model: Mapping[str, Any]


@dataclass(frozen=True)
class Evaluated(StageResult):
    """By model, what `Evaluation.to_dict` returns."""

    metrics: Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True)
class Aligned(StageResult):
    """The space of the embeddings, and whether it was "kept" or is "new"."""

    space_id: str
    alignment: Mapping[str, Any]
    space: str


@dataclass(frozen=True)
class Indexed(StageResult):
    """What the manifest keeps of the indexes, and the kind of the main one."""

    index: Mapping[str, Any]
    kind: str


@dataclass(frozen=True)
class Gated(StageResult):
    """How many checks there were, and the sentences of those that did not pass."""

    checks: int
    not_passed: int
    refusing: int
    sentences: Sequence[str]


@dataclass(frozen=True)
class Refreshed(StageResult):
    """What was folded in to the version before: `recsys.nightly.extension.Added`."""

    users: int
    items: int
    pairs: int
    users_left_out: int
    described: int = 0


@dataclass(frozen=True)
class Published(StageResult):
    """The version, and the one before it."""

    version: str
    parent: str | None


@dataclass(frozen=True)
class Pruned(StageResult):
    """Versions that were deleted and kept."""

    deleted: int
    deleted_bytes: int
    kept: int


_DISLIKED = "disliked_"  # before the names of the columns of dislikes
_RIDGE = "_ridge"


def write_interactions(folder: Path, log: Interactions) -> None:
    """Write a log, but for its row counts."""
    columns = _columns_of(log)
    if log.dislikes is not None:
        columns |= {f"{_DISLIKED}{name}": one for name, one in _columns_of(log.dislikes).items()}
    _write_arrays(folder / "events.npz", columns)
    _write_ids(folder / "users.parquet", log.users)
    _write_ids(folder / "items.parquet", log.items)


def _columns_of(log: Interactions) -> dict[str, Any]:
    columns = {"user_idx": log.user_idx, "item_idx": log.item_idx, "weight": log.weight}
    return columns if log.timestamp is None else {**columns, "timestamp": log.timestamp}


def read_interactions(folder: Path, row_counts: RowCounts, settings: Settings) -> Interactions:
    """Read a log as it was written, bit for bit."""
    columns = _read_arrays(folder / "events.npz")
    users, items = _read_ids(folder / "users.parquet"), _read_ids(folder / "items.parquet")

    def part(kind: str) -> Interactions:
        return Interactions(
            columns[f"{kind}user_idx"],
            columns[f"{kind}item_idx"],
            columns[f"{kind}weight"],
            columns.get(f"{kind}timestamp"),
            users,
            items,
        )

    return replace(
        part(""),
        duplicates=settings.log.duplicates,
        half_life_days=settings.log.half_life_days,
        order=settings.log.order,
        row_counts=row_counts,
        dislikes=part(_DISLIKED) if f"{_DISLIKED}user_idx" in columns else None,
    )


def write_embeddings(folder: Path, embeddings: Embeddings) -> None:
    """Write embeddings."""
    ridges = {f"{side}{_RIDGE}": np.float64(one) for side, one in embeddings.ridges.items()}
    _write_arrays(folder / "embeddings.npz", embeddings.matrices | ridges)


def read_embeddings(folder: Path) -> Embeddings:
    """Read embeddings as they were written, bit for bit."""
    found = _read_arrays(folder / "embeddings.npz")
    ridges = {
        name.removesuffix(_RIDGE): float(found.pop(name))
        for name in list(found)
        if name.endswith(_RIDGE)
    }
    return Embeddings(**found, ridges=ridges)


def _write_arrays(path: Path, arrays: Mapping[str, Any]) -> None:
    """Write arrays to the disk."""
    with durable_file(path) as file:
        np.savez(file, **arrays)


def _read_arrays(path: Path) -> dict[str, Any]:
    """Read arrays by name."""
    with np.load(path, allow_pickle=False) as arrays:
        return dict(arrays)


def _write_ids(path: Path, ids: Ids) -> None:
    import pyarrow.parquet as pq

    with durable_file(path) as file:
        pq.write_table(pa.table({"id": ids.values}), file, write_statistics=False)


def _read_ids(path: Path) -> Ids:
    import pyarrow.parquet as pq

    return Ids(pq.read_table(path)["id"])
