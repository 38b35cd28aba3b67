"""The README is true: its snippets run, its commands exist, its config is valid."""

import re
import shlex
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

from recsys.config import settings_from
from tests.command_line import run

ROOT = Path(__file__).parents[1]
README = (ROOT / "README.md").read_text()


def blocks(language: str) -> list[str]:
    return re.findall(rf"^```{language}\n(.*?)^```", README, flags=re.MULTILINE | re.DOTALL)


@pytest.fixture
def workplace(tmp_path: Path) -> Path:
    """A folder that looks like the checkout to a snippet, and keeps what it writes."""
    (tmp_path / "data").symlink_to(ROOT / "data")
    shutil.copytree(ROOT / "pipelines", tmp_path / "pipelines")
    return tmp_path


def test_the_python_snippets_run_one_after_the_other(workplace: Path) -> None:
    program = "\n".join(blocks("python"))
    done = subprocess.run(
        [sys.executable, "-W", "error", "-c", program],
        cwd=workplace,
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "ndcg@20" in done.stdout


def test_the_commands_run_one_after_the_other(workplace: Path) -> None:
    commands = [line[2:] for block in blocks("console") for line in block.splitlines()]
    assert len(commands) >= 7
    for command in commands:
        arguments = shlex.split(command)
        assert arguments.pop(0) == "recsys"
        done = run(*arguments, cwd=workplace)
        assert done.returncode == 0, f"{command}: {done.stderr}"


def test_the_config_is_valid() -> None:
    (config,) = blocks("toml")
    assert settings_from(tomllib.loads(config)).log.half_life_days == 90


def test_the_two_commands_are_targets_of_make() -> None:
    makefile = (ROOT / "Makefile").read_text()
    for target in re.findall(r"^make (\w+)", README, flags=re.MULTILINE):
        assert re.search(rf"^{target}:", makefile, flags=re.MULTILINE)


def test_the_public_names_are_what_the_front_door_offers() -> None:
    import recsys

    for name in recsys.__all__:
        assert getattr(recsys, name) is not None
    for used in re.findall(r"\brecsys\.(\w+)\(", README):
        assert used in recsys.__all__
