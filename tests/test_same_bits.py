"""The same log, settings and seed give the same files to the byte, on any number of threads."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from tests.same_bits import MODELS

ROOT = Path(__file__).parents[1]


def start(store: Path, *arguments: str, **env: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "tests.same_bits", str(store), *arguments]
    return subprocess.Popen(
        command, cwd=ROOT, stdout=subprocess.PIPE, text=True, env={**os.environ, **env}
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> list[dict[str, dict[str, str]]]:
    """What two processes found: one with all cores, the other one with a single core."""
    stores = [tmp_path_factory.mktemp(name) for name in ("all", "one")]
    processes = [
        start(stores[0], PYTHONHASHSEED="1", OPENBLAS_NUM_THREADS="2"),
        start(stores[1], "1", PYTHONHASHSEED="2", OPENBLAS_NUM_THREADS="1"),
    ]
    outputs = [process.communicate(timeout=300)[0] for process in processes]
    assert [process.returncode for process in processes] == [0, 0]
    return [json.loads(output) for output in outputs]


@pytest.mark.skipif(not hasattr(os, "sched_setaffinity"), reason="cores cannot be taken away here")
@pytest.mark.parametrize("model", MODELS)
def test_two_processes_publish_the_same_bytes(trained: list[dict], model: str) -> None:
    ours, theirs = (found[model] for found in trained)
    assert set(ours) > {"users.parquet", "items.parquet", "attributes.parquet", "data"}
    assert "serving/index/forest.annoy" in ours
    assert ours == theirs


def test_models_differ_from_each_other(trained: list[dict]) -> None:
    """So that the checksums are of something."""
    assert len({found["items.parquet"] for found in trained[0].values()}) == len(MODELS)
