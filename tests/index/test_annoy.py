"""Whatever befalls Annoy, an index is built, opened and served: exactly, with one warning."""

import json
import os
import signal
import subprocess
import sys
import warnings
from pathlib import Path

import numpy as np
import pytest

from recsys.index import Sample, build_index, load_index
from recsys.index.annoy import AnnoyError, build
from recsys.index.forest import FOREST
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import publish, verify
from tests.store.releases import small_release

ROOT = Path(__file__).parents[2]

# What a fake annoy does, and what the warning names. The child really imports it, so it dies as it
# would of one that was compiled for another processor.
FAULTS = {
    "aborts when imported": ("import os; os.abort()", "Aborted"),
    "is killed when imported": ("import os, signal; os.kill(os.getpid(), 9)", "Killed"),
    "cannot be imported": ("raise ImportError('GLIBCXX_3.4.30 not found')", "GLIBCXX_3.4.30"),
    "is something else": ("", "cannot import name 'AnnoyIndex'"),
    "ends the process": ("import os; os._exit(0)", "with exit code 0"),
}
# The same of one that can be imported: a line that is put into a method of it.
FAULTS_OF_METHODS = {
    "crashes in a test": ("build", "import ctypes; ctypes.string_at(0)", "Segmentation fault"),
    "crashes in a build": (
        "build",
        "if self.get_n_items() != 300: os.kill(os.getpid(), signal.SIGILL)",
        "Illegal instruction",
    ),
    "finds nothing": ("get_nns_by_vector", "return []", "fails its test: a point does not find"),
    "finds others": (
        "get_nns_by_vector",
        "if n > 1: return list(range(n))",
        "fails its test: the nearest of all points are others",
    ),
    "writes nonsense": (
        "save",
        "open(path, 'wb').write(bytes(68 * 10)); return True",
        "something else than a forest",
    ),
    "writes nothing": ("save", "return True", "something else than a forest"),
    "raises": ("build", "raise RuntimeError('bad trees')", "RuntimeError: bad trees"),
}
ARGUMENTS = {
    "build": "trees, n_jobs",
    "get_nns_by_vector": "vector, n, search_k",
    "save": "path",
}


def with_fault(method: str, line: str) -> str:
    arguments = ARGUMENTS[method]
    return (
        "import importlib.util, os, signal, sys\n"
        f"from importlib.machinery import PathFinder\n"
        f"others = [p for p in sys.path if p != {{folder!r}}]\n"
        "spec = PathFinder.find_spec('annoy', others)\n"
        "real = importlib.util.module_from_spec(spec)\n"
        "sys.modules['annoy'] = real\n"
        "spec.loader.exec_module(real)\n"
        "class AnnoyIndex(real.AnnoyIndex):\n"
        f"    def {method}(self, {arguments}):\n"
        f"        {line}\n"
        f"        return super().{method}({arguments})\n"
        "real.AnnoyIndex = AnnoyIndex\n"
    )


CASES = {name: (code, named) for name, (code, named) in FAULTS.items()} | {
    name: (with_fault(method, line), named)
    for name, (method, line, named) in FAULTS_OF_METHODS.items()
}


def put_in_the_place_of_annoy(folder: Path, code: str) -> str:
    (folder / "annoy").mkdir(parents=True)
    (folder / "annoy" / "__init__.py").write_text(code.replace("{folder!r}", repr(str(folder))))
    return str(folder)


@pytest.fixture
def items():
    rng = np.random.default_rng(0)
    return (rng.standard_normal((800, 12)) * rng.lognormal(0, 0.4, (800, 1))).astype(np.float32)


@pytest.fixture
def sample() -> Sample:
    users = np.random.default_rng(1).standard_normal((20, 12)).astype(np.float32)
    return Sample(users, [np.empty(0, np.int32)] * 20)


@pytest.mark.parametrize("name", CASES)
def test_a_failing_annoy_makes_an_exact_index(
    tmp_path: Path, monkeypatch, items, sample, name: str
) -> None:
    code, named = CASES[name]
    monkeypatch.syspath_prepend(put_in_the_place_of_annoy(tmp_path / "path", code))
    folder = tmp_path / "index"
    folder.mkdir()
    with pytest.warns(RuntimeWarning) as caught:
        built = build_index(items, sample, IndexSettings(), folder)
    assert [named in str(warning.message) for warning in caught] == [True]
    assert built.kind == "exact"
    assert named in built.without_annoy
    assert not list(folder.glob(f"*{FOREST}*"))
    index = load_index(items, folder, built)
    for user, seen in zip(sample.users, sample.seen, strict=True):
        rows, scores = index.search(user, 20, seen)
        exact = items @ user
        assert rows.tolist() == np.argsort(-exact, kind="stable")[:20].tolist()
        np.testing.assert_allclose(scores, exact[rows], rtol=1e-5)


def test_a_fault_of_annoy_leaves_this_process_as_it_is(tmp_path: Path, monkeypatch) -> None:
    """The same faults are in the process of the child, not in ours."""
    code = CASES["crashes in a test"][0]
    monkeypatch.syspath_prepend(put_in_the_place_of_annoy(tmp_path / "path", code))
    points = np.ones((5, 3), dtype=np.float32)
    with pytest.raises(AnnoyError, match="Segmentation fault"):
        build(points, tmp_path / FOREST, trees=2, seed=0)
    monkeypatch.undo()
    build(points, tmp_path / FOREST, trees=2, seed=0)
    assert (tmp_path / FOREST).stat().st_size % (4 * 6) == 0


def test_a_disk_that_is_full_is_no_fault_of_annoy(tmp_path: Path) -> None:
    points = np.random.default_rng(0).standard_normal((5000, 8)).astype(np.float32)
    (tmp_path / FOREST).mkdir()
    with pytest.raises(OSError, match="directory"):
        build(points, tmp_path / FOREST, trees=2, seed=0)


@pytest.fixture
def no_annoy(monkeypatch) -> None:
    monkeypatch.setitem(sys.modules, "annoy", None)


@pytest.mark.usefixtures("no_annoy")
def test_without_annoy_one_warning_is_given_for_all_indexes(tmp_path: Path) -> None:
    with pytest.warns(RuntimeWarning, match="annoy is not installed; the index is exact") as caught:
        version = publish(tmp_path, small_release(n_users=60, n_items=90), IndexSettings())
    assert len(caught) == 1
    index = version.manifest.index
    assert index.main.kind == "exact"
    assert index.main.without_annoy == "annoy is not installed"
    assert index.similar["item"].kind == "exact"
    assert len(open_store(tmp_path).recommend("u1", 10)) == 10
    verify(tmp_path)


def test_a_forest_serves_without_annoy(tmp_path: Path, monkeypatch) -> None:
    """The version was built with annoy; a process that opens it need not have annoy."""
    publish(tmp_path, small_release(n_users=60, n_items=900), IndexSettings(trees=3))
    expected = open_store(tmp_path).recommend("u1", 20).to_dict()
    monkeypatch.setitem(sys.modules, "annoy", None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        found = open_store(tmp_path)
    assert found.recommend("u1", 20).to_dict() == expected


@pytest.mark.usefixtures("no_annoy")
@pytest.mark.parametrize("kind", ["annoy", "auto"])
def test_who_wants_no_forest_hears_nothing_of_annoy(tmp_path: Path, items, sample, kind) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        exact = build_index(items, sample, IndexSettings(kind="exact"), tmp_path)
    assert exact.without_annoy is None
    with pytest.warns(RuntimeWarning, match="annoy is not installed"):
        build_index(items, sample, IndexSettings(kind=kind), tmp_path)


BLOCKER = """
import sys

class Blocker:
    def find_spec(self, name, path=None, target=None):
        if name == "annoy":
            raise ModuleNotFoundError("No module named 'annoy'", name="annoy")

sys.meta_path.insert(0, Blocker())
"""


def test_the_command_line_without_annoy(tmp_path: Path) -> None:
    """In processes of their own, which cannot import annoy from their first line on."""
    (tmp_path / "path").mkdir()
    (tmp_path / "path" / "sitecustomize.py").write_text(BLOCKER)
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(tmp_path / "path"), str(ROOT)])}

    def run(*arguments: str) -> subprocess.CompletedProcess[str]:
        command = [sys.executable, *arguments]
        return subprocess.run(command, cwd=tmp_path, env=env, capture_output=True, text=True)

    assert "No module named 'annoy'" in run("-c", "import annoy").stderr
    log = str(ROOT / "data" / "sample" / "events.parquet")
    trained = run("-m", "recsys", "train", log, "--model", "svd", "--store", "store")
    assert trained.returncode == 0, trained.stderr
    assert trained.stderr.count("warning") == trained.stderr.count("annoy is not installed") == 1
    listed = run("-m", "recsys", "recommend", "u805", "--store", "store", "-k", "5", "--json")
    assert listed.returncode == 0, listed.stderr
    assert "warning" not in listed.stderr
    assert len(json.loads(listed.stdout)["items"]) == 5


PARENT = """
import sys
from pathlib import Path
import numpy as np
from recsys.index.annoy import build

sys.path.insert(0, sys.argv[1])
build(np.ones((5, 3), dtype=np.float32), Path(sys.argv[2], "forest"), trees=2, seed=0)
"""
LONG_BUILD = """
import time

pipe = open({pipe!r}, "w")
print("begun", file=pipe, flush=True)
time.sleep(60)
print("went on", file=pipe, flush=True)
"""


def test_a_child_ends_with_its_parent(tmp_path: Path) -> None:
    """Nobody goes on to write to the folder of a publish that was killed."""
    pipe = tmp_path / "pipe"
    os.mkfifo(pipe)
    code = LONG_BUILD.replace("{pipe!r}", repr(str(pipe)))
    folder = put_in_the_place_of_annoy(tmp_path / "path", code)
    parent = subprocess.Popen([sys.executable, "-c", PARENT, folder, tmp_path], cwd=ROOT)
    with pipe.open() as child:
        assert child.readline() == "begun\n"
        parent.kill()
        assert child.read() == ""  # which returns when the child has ended
    assert parent.wait() == -signal.SIGKILL
