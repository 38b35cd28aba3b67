"""What a process measures of itself."""

import sys
from pathlib import Path

import numpy as np
import pytest

from recsys.base.environment import peak_memory, usable_memory


@pytest.mark.skipif(sys.platform != "linux", reason="only Linux reports it")
def test_the_peak_of_memory_is_of_the_block_alone() -> None:
    large = np.ones(64 * 2**20, dtype=np.uint8)
    del large
    with peak_memory() as small:
        pass
    with peak_memory() as peak:
        held = np.ones(128 * 2**20, dtype=np.uint8)
        del held
    assert small.n_bytes is not None
    assert peak.n_bytes is not None
    assert small.n_bytes < 16 * 2**20
    assert 128 * 2**20 <= peak.n_bytes + 2**20 < 160 * 2**20


@pytest.mark.parametrize(
    ("groups", "files", "expected"),
    [
        ("0::/app/worker", {"app/memory.max": "1000", "app/worker/memory.max": "max"}, 1000),
        ("0::/app", {"memory.max": "700", "app/memory.max": "1000"}, 700),  # of a container
        ("4:memory:/app\n2:cpu:/app", {"memory/app/memory.limit_in_bytes": "900"}, 900),
        ("0::/", {}, usable_memory(Path("/nowhere"))),
        ("0::/app", {"app/memory.max": str(2**62)}, usable_memory(Path("/nowhere"))),
    ],
)
def test_the_memory_of_a_container_is_that_of_its_group(
    groups: str, files: dict[str, str], expected: int, tmp_path: Path
) -> None:
    for name, content in {
        "proc/self/cgroup": groups,
        **{f"sys/fs/cgroup/{name}": content for name, content in files.items()},
    }.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(f"{content}\n")
    assert usable_memory(tmp_path) == expected
