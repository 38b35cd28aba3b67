"""A cluster of a master and two workers on this machine, one of which is killed in mid-epoch."""

import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from recsys.models import ALS
from tests.worlds import random_user_items

pytest.importorskip("pyspark", reason="make install brings pyspark")
pytestmark = pytest.mark.skipif(
    not os.environ.get("RECSYS_CLUSTER"),
    reason="RECSYS_CLUSTER=1 runs it: it starts six virtual machines of Java",
)


def test_a_fit_survives_a_worker(tmp_path: Path) -> None:
    from tests.spark.cluster import ROOT, WORLD, cluster

    with cluster(tmp_path) as started:
        path = os.pathsep.join([str(ROOT), *filter(None, [os.environ.get("PYTHONPATH")])])
        done = subprocess.run(
            [sys.executable, "-m", "tests.spark.cluster", started.url, str(tmp_path), "67108864"],
            cwd=ROOT,
            env={**os.environ, "PYTHONPATH": path, "PYSPARK_PYTHON": sys.executable},
            capture_output=True,
            text=True,
        )
        assert done.returncode == 0, done.stderr
        assert (tmp_path / "killed").exists()
        codes = sorted(str(worker.poll()) for worker in started.workers)
        assert codes == ["-9", "None"]
    found = np.load(tmp_path / "found.npz")
    expected = ALS(factors=8, iterations=2).fit(random_user_items(*WORLD))
    np.testing.assert_allclose(found["users"], expected.users, atol=1e-6)
    np.testing.assert_allclose(found["items"], expected.items, atol=1e-6)
