"""What a store keeps of the rows of a query, so that a night asks only for those that are new.

``query/`` of the store holds Parquet files and ``state.json``, which names them: a file that it
does not name is left from a start that was killed. Rows whose watermark is at or above a bound, the
newest one less the overlap, are in the last file. The next night asks for all from the bound on and
replaces that file by the answer: each row counts once, also one that came late or was changed
meanwhile. Rows without a watermark are asked for each time.
"""

import hashlib
import json
from collections.abc import Callable, Sequence
from contextlib import suppress
from dataclasses import asdict, dataclass, replace
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from recsys.base.durable import errors_of_writing, replace_text, replaced, sha256_of, sync
from recsys.base.query_settings import QuerySettings
from recsys.logs.addresses import Address
from recsys.logs.queries import Answer, Report, bare, download, no_rows, require_query
from recsys.logs.sources import Fetched
from recsys.logs.sql import identifier
from recsys.logs.watermarks import (
    Watermarks,
    as_integers,
    bound_of,
    literal_of,
    require_column,
    shown_of,
)

# ruff: noqa: S608 (a query is the user's own; names are quoted by recsys.logs.sql)

FOLDER = "query"
_STATE = "state.json"
_ASIDE = "answer.parquet"
_FORMAT = 1
_MOST_FILES = 64
_JOINED = 48


@dataclass(frozen=True)
class _File:
    """A file, by its name in the folder."""

    name: str
    rows: int
    bytes: int
    lowest: int | None = None  # watermark of a row; None where no row has one
    highest: int | None = None
    has_nulls: bool = False


@dataclass(frozen=True)
class _State:
    """What was asked for, and the files that hold the answer."""

    query: str  # its hash: another one is asked for whole
    files: tuple[_File, ...] = ()
    watermark: str = ""  # the type of that column
    newest: int | None = None  # watermark so far; from the overlap below it is asked again
    made: int = 0  # files so far, for new names

    @classmethod
    def read(cls, path: Path, query: str) -> "_State":
        """Read the state of a query; an empty one where there is none, or it is damaged."""
        try:
            found = json.loads(path.read_bytes())
            files = tuple(_File(**one) for one in found.pop("files"))
            state = cls(**found, files=files)
        except (OSError, ValueError, TypeError, KeyError, AttributeError):
            return cls(query)
        is_whole = all(_size(path.parent / one.name) == one.bytes for one in files)
        if state.query == query and is_whole:
            return state
        return cls(query, made=state.made)

    def write(self, path: Path) -> None:
        replace_text(path, json.dumps(asdict(self)))

    @property
    def n_rows(self) -> int:
        return sum(one.rows for one in self.files)


def take(
    store: Path, settings: QuerySettings, now: int, report: Report = lambda _: None
) -> Fetched:
    """Ask a database for what is new in a log, and return all of it, in files of a store.

    One process at a time does, as a night that locks the store. What the files held before is
    theirs until the answer is there whole.

    Parameters
    ----------
    now : int
        Unix time in seconds: a later watermark is of a clock that is wrong.

    Raises
    ------
    DataError
        If the database is not reached or lost, or there are no rows.
    ConfigError
        If its address or password is not as the settings say.
    StoreError
        If the store cannot be written.
    """
    address = require_query(settings)
    folder = store / FOLDER
    with errors_of_writing(store, "keep the rows of a query"):
        folder.mkdir(parents=True, exist_ok=True)
        before = _State.read(folder / _STATE, _hash_of(settings, address))
        taking = _Taking(folder, settings, address, before, now, report)
        try:
            state, notes = taking.done()
            if not state.n_rows:
                raise no_rows(address)
            state.write(folder / _STATE)
        finally:
            (folder / _ASIDE).unlink(missing_ok=True)
        kept = {_STATE, *(one.name for one in state.files)}
        for path in folder.iterdir():
            if path.name not in kept:
                path.unlink()
    return Fetched([folder / one.name for one in state.files], address.shown, notes)


class _Taking:
    """One night's question, and what becomes of its answer."""

    def __init__(
        self,
        folder: Path,
        settings: QuerySettings,
        address: Address,
        before: _State,
        now: int,
        report: Report,
    ) -> None:
        self._folder, self._settings, self._address = folder, settings, address
        self._before, self._now, self._report = before, now, report
        self._column = settings.watermark
        self._made = before.made
        self._aside = folder / _ASIDE

    def done(self) -> tuple[_State, list[str]]:
        """Return the new state, and what is to be said of it."""
        before = self._before
        bound = None
        if self._column is not None and before.newest is not None and not self._settings.full:
            bound = bound_of(before.newest, before.watermark, self._settings.overlap)
        answer, watermarks = self._ask(bound)
        if bound is not None and answer.schema != self._kept_schema():  # perhaps the rows as well
            bound = None
            answer, watermarks = self._ask(bound)
        if self._column is None:
            return self._whole(answer.n_rows), answer.notes
        old = [] if bound is None else self._below(bound)
        if bound is not None and self._settings.row_key is not None:
            keys = self._new_keys(self._settings.row_key)
            old = [kept for one in old if (kept := self._without_keys(one, keys)) is not None]
        found = [one for one in (watermarks.newest, before.newest) if one is not None]
        newest = watermarks.newest if bound is None else max(found)
        kind = str(watermarks.type)
        new_bound = None if newest is None else bound_of(newest, kind, self._settings.overlap)
        state = replace(
            before,
            files=(*self._joined(old), *self._split(new_bound, watermarks)),
            watermark=kind,
            newest=newest,
            made=self._made,
        )
        if bound is not None:
            n_kept = sum(one.rows for one in old)
            answer.notes.append(
                f"{answer.n_rows:,} rows with {self._column} from {shown_of(bound, kind)} on were "
                f"asked for and {n_kept:,} kept, whose changes are not seen: log.full asks for all"
            )
        return state, answer.notes

    def _ask(self, bound: int | None) -> "tuple[Answer, Watermarks]":
        """Write the answer aside, and look at its watermarks on the way."""
        sql = self._settings.sql or ""
        watermarks = Watermarks(self._column, self._now, self._address.shown)
        if bound is not None and self._column is not None:
            column = f"recsys_log.{identifier(self._column)}"
            start = literal_of(bound, self._before.watermark)
            sql = (
                f"SELECT * FROM (\n{bare(sql)}\n) AS recsys_log "
                f"WHERE {column} >= {start} OR {column} IS NULL"
            )
        look = watermarks.look if self._column is not None else (lambda _: None)
        like = None if bound is None else self._kept_schema()
        answer = download(self._settings, sql, self._aside, self._report, look, like)
        if self._column is not None:
            watermarks.require(answer.schema)
            require_column(answer.schema, self._settings.row_key, "row_key", self._address.shown)
        return answer, watermarks

    def _kept_schema(self) -> pa.Schema | None:
        """Return the columns of the files before."""
        files = self._before.files
        return pq.read_schema(self._folder / files[0].name) if files else None

    def _whole(self, n_rows: int) -> _State:
        """Return the state where everything is asked for each time: one file."""
        file = self._as_file(n_rows, Watermarks(None, self._now, ""))
        return replace(self._before, files=(file,), newest=None, made=self._made)

    def _as_file(self, n_rows: int, watermarks: "Watermarks") -> _File:
        """Make a file of the answer, or keep the one before that holds the same."""
        if self._before.files:
            old = self._before.files[-1]
            if _same(self._folder / old.name, self._aside):
                return old
        name = self._new_name()
        sync(self._aside)
        self._aside.replace(self._folder / name)
        return self._described(name, n_rows, watermarks)

    def _described(self, name: str, n_rows: int, found: "Watermarks") -> _File:
        size = _size(self._folder / name)
        return _File(name, n_rows, size, found.lowest, found.highest, found.has_nulls)

    def _below(self, bound: int) -> list[_File]:
        """Return the files before, without rows from a bound on and rows without a watermark."""
        kept: list[_File] = []
        for one in self._before.files:
            is_below = one.highest is not None and one.highest < bound and not one.has_nulls
            if is_below:
                kept.append(one)
            elif one.lowest is not None and one.lowest < bound:
                rest = self._written(
                    self._folder / one.name, lambda batch: self._is_below(batch, bound)
                )
                kept += [] if rest is None else [rest]
        return kept

    def _is_below(self, batch: pa.RecordBatch, bound: int) -> pa.Array:
        return pc.fill_null(pc.less(as_integers(batch.column(self._column)), bound), False)

    def _new_keys(self, name: str) -> pa.Array:
        """Return the keys of the rows that came."""
        return pc.unique(pq.read_table(self._aside, columns=[name])[name])

    def _without_keys(self, file: _File, keys: pa.Array) -> _File | None:
        """Return a file without the rows that came again."""
        name, path = self._settings.row_key, self._folder / file.name
        column = pq.read_table(path, columns=[name])[name]
        if not pc.any(pc.is_in(column, value_set=keys)).as_py():
            return file
        return self._written(
            path, lambda batch: pc.invert(pc.is_in(batch.column(name), value_set=keys))
        )

    def _written(self, source: Path, is_kept: Callable[[pa.RecordBatch], pa.Array]) -> _File | None:
        """Write the rows of a file that are kept to a new one; None where there are none."""
        name, found = self._new_name(), Watermarks(self._column, self._now, "")
        with pq.ParquetFile(source) as parquet, replaced(self._folder / name) as aside:
            n_rows = 0
            with pq.ParquetWriter(aside, parquet.schema_arrow, compression="zstd") as writer:
                for batch in parquet.iter_batches():
                    kept = batch.filter(is_kept(batch))
                    if kept.num_rows:
                        found.look(kept)
                        writer.write_batch(kept)
                        n_rows += kept.num_rows
        if not n_rows:
            (self._folder / name).unlink()
            return None
        return self._described(name, n_rows, found)

    def _split(self, bound: int | None, watermarks: "Watermarks") -> list[_File]:
        """Make two files of the answer: of what is settled, and of what is asked for again."""
        if watermarks.n_rows == 0:
            return []
        if bound is None or watermarks.lowest is None or watermarks.lowest >= bound:
            return [self._as_file(watermarks.n_rows, watermarks)]
        parts = (
            self._written(self._aside, lambda batch: self._is_below(batch, bound)),
            self._written(self._aside, lambda batch: pc.invert(self._is_below(batch, bound))),
        )
        return [one for one in parts if one is not None]

    def _joined(self, files: Sequence[_File]) -> list[_File]:
        """Return files, the newest as one where there are many: refreshes leave a file each."""
        if len(files) < _MOST_FILES:
            return [*files]
        first, last = files[:-_JOINED], files[-_JOINED:]
        name = self._new_name()
        with replaced(self._folder / name) as aside:
            schema = pq.read_schema(self._folder / last[0].name)
            with pq.ParquetWriter(aside, schema, compression="zstd") as writer:
                for one in last:
                    writer.write_table(pq.read_table(self._folder / one.name))
        lowest = [one.lowest for one in last if one.lowest is not None]
        highest = [one.highest for one in last if one.highest is not None]
        rows, size = sum(one.rows for one in last), _size(self._folder / name)
        return [*first, _File(name, rows, size, min(lowest), max(highest))]

    def _new_name(self) -> str:
        self._made += 1
        return f"{self._made:06}.parquet"


def _size(path: Path) -> int:
    """Return how large a file is; -1 where there is none."""
    with suppress(OSError):
        return path.stat().st_size
    return -1


def _same(one: Path, other: Path) -> bool:
    with suppress(OSError):
        return one.stat().st_size == other.stat().st_size and sha256_of(one) == sha256_of(other)
    return False


def _hash_of(settings: QuerySettings, address: Address) -> str:
    """Return what tells a question from another one, without a password."""
    told = [_FORMAT, address.shown, bare(settings.sql or ""), settings.watermark, settings.row_key]
    return hashlib.sha256(json.dumps(told).encode()).hexdigest()
