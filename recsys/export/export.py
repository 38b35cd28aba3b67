"""Export a version: write a folder aside, then rename it."""

import fcntl
import json
import os
import re
import secrets
import shlex
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Literal, get_args

from recsys.base.checks import require_whole
from recsys.base.durable import appearing, durable_file
from recsys.base.errors import ConfigError, DataError, briefly, did_you_mean
from recsys.base.progress import progress_bar
from recsys.export.atlas import write_atlas
from recsys.export.formats import (
    Files,
    Tables,
    write_faiss,
    write_numpy,
    write_pgvector,
    write_projector,
    write_word2vec,
)
from recsys.export.schema import write_schema
from recsys.export.vector_table import DType, Entities, vector_tables
from recsys.store.content import Content

Format = Literal["numpy", "faiss", "pgvector", "projector", "atlas", "word2vec", "schema"]
"""The name of a format."""

FORMATS: tuple[Format, ...] = get_args(Format)
"""Every format that `export_version` writes."""

ABOUT = "export.json"

_WRITERS: Mapping[Format, Callable[[Path, Tables, Content], Files]] = {
    "numpy": write_numpy,
    "faiss": write_faiss,
    "pgvector": write_pgvector,
    "projector": write_projector,
    "atlas": write_atlas,
    "word2vec": write_word2vec,
    "schema": write_schema,
}
_MOST_ROWS: Mapping[str, int] = {"projector": 10_000}
_SAMPLED = ("projector", "atlas")
_WITH_FLOAT16 = ("numpy", "pgvector")
_OF_AN_EXPORT = re.compile(
    r"(users|items)(/(vectors|metadata)\.tsv|\.(npy|faiss|copy|txt|parquet)|_ids\.jsonl)?"
    r"|load\.sql|projector_config\.pbtxt|schema\.(md|json)|export\.json"
)


def export_version(
    content: Content,
    to: Format,
    out: str | Path,
    *,
    kinds: tuple[Entities, ...] = ("users", "items"),
    dtype: DType = "float32",
    sample: int | None = None,
    progress: bool = False,
) -> Path:
    """Write the vectors of a version for another tool.

    The folder appears when it is complete. Its `export.json` names the version and the space of the
    vectors: those of two spaces cannot be compared. Vectors are read and written in blocks; only
    faiss holds all of a table in memory.

    Parameters
    ----------
    content : Content
        An open version, as `open_version` returns it.
    to : {"numpy", "faiss", "pgvector", "projector", "atlas", "word2vec", "schema"}
    out : path
        The folder; it must not exist.
    kinds : tuple of {"users", "items"}
    dtype : {"float32", "float16"}
        float16, rounded, for numpy and pgvector only.
    sample : int, optional
        The most rows of a table, for projector and atlas only: of more, a sample by strata of
        popularity, which `export.json` describes. Default: 10,000 for projector, on which it
        computes in seconds; all for atlas.
    progress : bool
        Show a progress bar where stderr is a terminal.

    Returns
    -------
    path
        The folder.

    Raises
    ------
    ConfigError
        If the format is unknown or does not support the dtype, or a package is missing.
    DataError
        If the folder exists or cannot be written, or the format cannot hold an id or a value.

    Examples
    --------
    ::

        with_items = export_version(open_version("store"), "numpy", "out", kinds=("items",))
        vectors = np.load(with_items / "items.npy", mmap_mode="r")
    """
    _check(to, dtype, sample)
    out = Path(out)
    with progress_bar(f"exporting to {to}", enabled=progress) as on_step:
        done = 0

        def on_rows(n: int) -> None:
            nonlocal done
            done += n
            on_step(done, sum(len(table.ids) for table in tables))

        most = _MOST_ROWS.get(to) if sample is None else sample
        tables = vector_tables(content, kinds, dtype, on_rows, most)
        with _new_folder(out) as folder:
            files = _WRITERS[to](folder, tables, content)
            _write_about(folder, to, dtype, content, files)
    return out


def _check(to: str, dtype: str, sample: int | None) -> None:
    if to not in FORMATS:
        raise ConfigError(
            f"export: expected one of {', '.join(FORMATS)}, got {briefly(to)}"
            f"{did_you_mean(to, FORMATS)}"
        )
    if dtype not in get_args(DType):
        raise ConfigError(f"export: expected float32 or float16, got {briefly(dtype)}")
    if dtype == "float16" and to not in _WITH_FLOAT16:
        raise ConfigError(
            f"export: expected float32 for {to}, got float16, which goes with "
            f"{' and '.join(_WITH_FLOAT16)}"
        )
    if sample is None:
        return
    require_whole("export: sample", sample, least=1, expected="1 or more rows (--sample)")
    if to not in _SAMPLED:
        raise ConfigError(
            f"export: expected no sample (--sample) for {to}, got {sample}: a sample goes with "
            f"{' and '.join(_SAMPLED)}"
        )


@contextmanager
def _new_folder(out: Path) -> Iterator[Path]:
    """Make a folder that appears when the block has ended; errors say which one."""
    if os.path.lexists(out):
        raise DataError(f"export: expected no file or folder at {out}, got one; choose another")
    try:
        with ExitStack() as stack, appearing(out, _aside(out)) as folder:
            stack.enter_context(_held(folder))  # until it has its name
            yield folder
    except OSError as error:
        reason = error.strerror or str(error)
        raise DataError(
            f"export: expected to write {out}, got {reason!r}; check that its folder may be "
            "written to and that the disk has space left"
        ) from error


def _aside(out: Path) -> Path:
    """Return where a folder is written to: a name that is free, or of what a crash has left."""
    aside = out.with_name(f".{out.name}.partial")
    if not os.path.lexists(aside) or _is_leftover(aside):
        return aside
    return out.with_name(f".{out.name}.{secrets.token_hex(4)}.partial")


def _is_leftover(aside: Path) -> bool:
    """Return whether a folder holds nothing but what an export writes, and none is at work."""
    if aside.is_symlink() or not aside.is_dir():
        return False
    inside = [path.relative_to(aside).as_posix() for path in aside.rglob("*")]
    if not all(map(_OF_AN_EXPORT.fullmatch, inside)):
        return False
    try:
        with _held(aside):
            return True
    except BlockingIOError:
        return False


@contextmanager
def _held(folder: Path) -> Iterator[None]:
    """Hold a folder, where its file system has locks; a BlockingIOError if another process does."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError as error:
            if isinstance(error, BlockingIOError):
                raise
        yield
    finally:
        os.close(descriptor)


def _write_about(
    folder: Path, to: str, dtype: str, content: Content, files: Mapping[str, Any]
) -> None:
    manifest = content.version.manifest
    about = {
        "format": to,
        "version": manifest.version,
        "space_id": manifest.space_id,
        "metric": "dot product",
        "factors": manifest.factors,
        "dtype": dtype,
        "files": files,
    }
    with durable_file(folder / ABOUT) as file:
        file.write((json.dumps(about, indent=2, ensure_ascii=False) + "\n").encode())


def notes_of(folder: str | Path) -> list[str]:
    """Return what is to be known of an export: which rows are left out, and how to open it."""
    about = json.loads((Path(folder) / ABOUT).read_text())
    notes = []
    for name, facts in about["files"].items():
        if "of" in facts:
            notes.append(
                f"{name}: a sample, {facts['rows']:,} of {facts['of']:,}, drawn by popularity; "
                "--sample asks for more"
            )
        if facts.get("without_vector"):
            notes.append(f"{name}: {facts['without_vector']:,} without a vector are left out")
        if "open" in facts:
            notes.append(f"open it: {facts['open'].replace(name, shlex.quote(f'{folder}/{name}'))}")
    return notes
