"""The package works from its wheel, outside the checkout."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]


@pytest.fixture(scope="module")
def site(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder that holds what the wheel holds."""
    folder = tmp_path_factory.mktemp("wheel")
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(folder)]
    done = subprocess.run(build, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    (wheel,) = folder.glob("recsys_engine-*.whl")
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(folder / "site")
    return folder / "site"


def run(site: Path, *arguments: str) -> str:
    done = subprocess.run(
        [sys.executable, *arguments],
        cwd=site.parent,
        env={**os.environ, "PYTHONPATH": str(site)},
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_the_wheel_holds_the_package_and_nothing_else(site: Path) -> None:
    assert {path.name.split("-")[0] for path in site.iterdir()} == {"recsys", "recsys_engine"}
    for kind in ("py", "html", "css", "js", "cu"):
        files = {path.relative_to(ROOT) for path in (ROOT / "recsys").rglob(f"*.{kind}")}
        assert {path.relative_to(site) for path in site.rglob(f"*.{kind}")} == files
    assert (site / "recsys" / "py.typed").exists()
    assert (site / "recsys" / "__init__.pyi").exists()
    assert (site / "recsys" / "export" / "templates" / "schema.md").exists()


def give_compiled(site: Path) -> None:
    """Give the package what Numba has compiled of the same files: to do so takes ten seconds."""
    for source in (ROOT / "recsys").rglob("*.py"):
        stat = source.stat()
        os.utime(site / source.relative_to(ROOT), ns=(stat.st_atime_ns, stat.st_mtime_ns))
    for compiled in (ROOT / "recsys").rglob("__pycache__/*.nb[ci]"):
        place = site / compiled.relative_to(ROOT)
        place.parent.mkdir(exist_ok=True)
        shutil.copy(compiled, place)


def test_train_and_recommend_outside_the_checkout(site: Path, sample: Path) -> None:
    give_compiled(site)
    where = run(site, "-c", "import recsys; print(recsys.__file__)").strip()
    version = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
    assert Path(where).is_relative_to(site)
    run(site, "-m", "recsys", "train", str(sample), "--model", "svd", "--store", "store")
    (manifest,) = (site.parent / "store" / "versions").glob("*/manifest.json")
    assert json.loads(manifest.read_text())["environment"]["packages"]["recsys"] == version
    found = json.loads(run(site, "-m", "recsys", "recommend", "u42", "--json", "--store", "store"))
    assert found["source"] == "personal"
    assert len(found["items"]) == 10


def test_without_a_compiler_the_build_says_what_it_needs(tmp_path: Path) -> None:
    build = [sys.executable, "-m", "build", "--wheel", "--no-isolation", "--outdir", str(tmp_path)]
    before = (ROOT / "recsys" / "index" / "_kernel.so").stat().st_mtime_ns
    done = subprocess.run(
        build, cwd=ROOT, env={**os.environ, "CC": "false"}, capture_output=True, text=True
    )
    assert done.returncode != 0
    assert "expected a C compiler to build recsys/index/kernel.c" in done.stdout + done.stderr
    assert (ROOT / "recsys" / "index" / "_kernel.so").stat().st_mtime_ns == before
    assert not list((ROOT / "recsys" / "index").glob("_kernel.so.*"))
