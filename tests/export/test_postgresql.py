"""PostgreSQL itself reads the files for COPY; text plays the type of pgvector."""

import os
import re
import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from recsys.export import export_version
from tests.export.readers import floats
from tests.export.test_formats import INTEGER_IDS, ODDER_IDS, content_of

SUPERUSER = "postgres"


def as_postgres(*command: str | Path, cwd: Path) -> subprocess.CompletedProcess[bytes]:
    """Run a program, as a user of its own where we are root: PostgreSQL refuses root."""
    user = SUPERUSER if os.geteuid() == 0 else None
    return subprocess.run(list(map(str, command)), cwd=cwd, user=user, capture_output=True)


@pytest.fixture(scope="module")
def server() -> Iterator[Path]:
    """The folder of a server that listens on a socket there, and nowhere else."""
    for program in ("initdb", "pg_ctl", "psql"):
        if shutil.which(program) is None:
            pytest.skip(f"no {program}")
    with tempfile.TemporaryDirectory(prefix="pg") as name:
        folder = Path(name)
        if os.geteuid() == 0:
            try:
                shutil.chown(folder, SUPERUSER)
            except LookupError:
                pytest.skip("we are root, and there is no user postgres")
        data = folder / "data"
        made = as_postgres("initdb", "-D", data, "-U", SUPERUSER, "-E", "UTF8", "-N", cwd=folder)
        assert made.returncode == 0, made.stderr
        options = f"-c listen_addresses='' -c unix_socket_directories={folder}"
        start = ("pg_ctl", "-D", data, "-w", "-l", folder / "log", "-o", options, "start")
        assert as_postgres(*start, cwd=folder).returncode == 0, (folder / "log").read_text()
        try:
            yield folder
        finally:
            as_postgres("pg_ctl", "-D", data, "-w", "-m", "immediate", "stop", cwd=folder)


def psql(server: Path, *arguments: str | Path, cwd: Path) -> bytes:
    common = ("psql", "-X", "-v", "ON_ERROR_STOP=1", "-h", server, "-U", SUPERUSER)
    done = as_postgres(*common, *arguments, cwd=cwd)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.parametrize("ids", [ODDER_IDS, INTEGER_IDS], ids=["odd", "integers"])
def test_copy_loads_any_ids(server: Path, tmp_path: Path, ids: list) -> None:
    content = content_of(tmp_path / "store", ids)
    out = export_version(content, "pgvector", tmp_path / "out")
    shutil.copytree(out, server / "out", dirs_exist_ok=True)  # where the server's user may read
    load = server / "out" / "load.sql"
    load.write_text(re.sub(r" vector\(4\)|CREATE EXTENSION .*?;", as_text, load.read_text()))
    psql(server, "-f", load, cwd=load.parent)
    for kind, table in (("users", content.users), ("items", content.items)):
        one = kind[:-1]
        query = (
            f"select {one}_idx || ' ' || encode(convert_to({one}_id::text, 'UTF8'), 'hex') || ' ' "
            f"|| embedding from recsys_{kind} order by {one}_idx"
        )
        lines = psql(server, "-A", "-t", "-c", query, cwd=server).decode().splitlines()
        rows = [line.split(" ") for line in lines]
        assert [int(row) for row, _, _ in rows] == list(range(len(ids)))
        assert [bytes.fromhex(id_).decode() for _, id_, _ in rows] == [str(id_) for id_ in ids]
        vectors = np.array([floats(text.strip("[]"), ",") for *_, text in rows], dtype=np.float32)
        np.testing.assert_array_equal(vectors, table.embeddings)
    comment = psql(
        server, "-A", "-t", "-c", "select obj_description('recsys_items'::regclass)", cwd=server
    )
    assert content.version.manifest.space_id in comment.decode()
    psql(server, "-c", "drop table recsys_items, recsys_users", cwd=server)


def as_text(found: re.Match[str]) -> str:
    return " text" if "vector(4)" in found[0] else ""
