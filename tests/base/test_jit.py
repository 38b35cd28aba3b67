"""Compiled code is kept where that can be written, and works where nothing can."""

import subprocess
import sys
from pathlib import Path

SOURCE = """
from recsys.base.jit import compiled


@compiled()
def twice(number):
    return number * 2
"""
# Numba asks for a place for its cache by writing a file; a full disk has none either.
ASK = """
import resource, signal, sys

sys.path.insert(0, sys.argv[1])
if sys.argv[2] == "full":
    import tempfile

    def nowhere(*args, **kwargs):
        raise OSError("read-only file system")

    tempfile.TemporaryFile = nowhere
import module

print(module.twice(21), type(module.twice._cache).__name__)
"""


def answer(folder: Path, disk: str, source: str = SOURCE, ask: str = ASK) -> list[str]:
    (folder / "module.py").write_text(source)
    command = [sys.executable, "-c", ask, str(folder), disk]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    return done.stdout.split()


def test_the_code_is_kept(tmp_path: Path) -> None:
    assert answer(tmp_path, "free") == ["42", "FunctionCache"]
    assert list(tmp_path.rglob("*.nbi"))


def test_the_code_of_another_package_is_kept(tmp_path: Path) -> None:
    source = SOURCE.replace("from recsys.base.jit import compiled", "from numba import njit")
    source = source.replace("@compiled()", "@njit")
    keep = "from recsys.base.jit import keep_compiled\nimport module\nkeep_compiled(module.twice)"
    ask = ASK.replace("import module\n", f"{keep}\nkeep_compiled(None)\n")
    assert answer(tmp_path, "free", source, ask) == ["42", "FunctionCache"]
    assert list(tmp_path.rglob("*.nbi"))


def test_without_a_place_to_keep_it_it_still_works(tmp_path: Path) -> None:
    assert answer(tmp_path, "full") == ["42", "NullCache"]
    assert not list(tmp_path.rglob("*.nbi"))
