"""The kernels by NVIDIA's own compiler, where it is: they compile, and keep to their registers."""

import re
import shutil
import subprocess
from pathlib import Path

import pytest

from recsys.cuda import lists, rows
from recsys.cuda.backend import Program

NVCC = shutil.which("nvcc")
MOST = {  # registers of the kernels for lists
    "best_of_groups": 128,
    "keep_of_all": 168,
    "floors_of_users": 32,
    "keep_of_groups": 64,
    "rank_kept": 32,
}
_USED = re.compile(
    r"Compiling entry function '(\w+)'.*?(\d+) bytes spill stores.*?Used (\d+) reg", re.S
)


def registers(program: Program, folder: Path) -> dict[str, tuple[int, int]]:
    """Return the registers of each kernel, and the bytes that do not fit into them."""
    source = folder / "program.cu"
    source.write_text(program.source)
    options = ("-cubin", "-arch=sm_90", "-std=c++17", "-Xptxas", "-v", "-o", str(folder / "cubin"))
    done = subprocess.run([str(NVCC), *options, str(source)], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    return {name: (int(used), int(spilled)) for name, spilled, used in _USED.findall(done.stderr)}


@pytest.mark.skipif(NVCC is None, reason="no nvcc, which says how many registers a kernel takes")
def test_rows_keep_to_their_registers(tmp_path: Path) -> None:
    found = registers(rows.program_of(64, "Bfloat16"), tmp_path)
    assert found.keys() == {"step_rows", "solve_rows", "sum_pieces", "step_long_rows", "round_rows"}
    # Three blocks of 256 threads have 80 each: with 128, measured, a sweep takes 1.7 times as long.
    assert all(used <= 80 for used, _ in found.values())
    assert all(spilled <= 60 for _, spilled in found.values())


@pytest.mark.skipif(NVCC is None, reason="no nvcc, which says how many registers a kernel takes")
@pytest.mark.parametrize("width", [64, 128])
def test_lists_keep_to_their_registers(width: int, tmp_path: Path) -> None:
    found = registers(lists.program_of(width), tmp_path)
    assert found.keys() == MOST.keys()
    assert all(spilled == 0 for _, spilled in found.values())
    # As many as the measured prototype had, or no more than leave as many blocks at a time.
    most = {**MOST, "best_of_groups": 255} if width == 128 else MOST
    assert all(used <= most[name] for name, (used, _) in found.items())
