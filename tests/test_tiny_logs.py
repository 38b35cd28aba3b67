"""Logs of few events: every command ends with a result or a sentence, never in a traceback."""

import random
from pathlib import Path

import pytest

from tests.command_line import run


def tiny(path: Path, n: int, *, timed: bool) -> Path:
    rng = random.Random(n)
    ids = max(n // 2, 1)
    lines = ["user_id,item_id,timestamp" if timed else "user_id,item_id"]
    for k in range(n):
        row = f"u{rng.randrange(ids)},i{rng.randrange(ids)}"
        lines.append(f"{row},{1_700_000_000 + 3600 * k}" if timed else row)
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("n", [1, 2, 3, 4, 7, 20, 30])
@pytest.mark.parametrize("split", ["time", "random", "none"])
def test_no_command_ends_in_a_traceback(tmp_path: Path, n: int, split: str) -> None:
    log, store = tiny(tmp_path / "log.csv", n, timed=split == "time"), tmp_path / "store"
    config, named = tmp_path / "c.toml", tmp_path / "named.toml"
    config.write_text(
        f'[data]\nlog = "{log}"\n[evaluation]\nsplit = "{split}"\n[nightly]\nstore = "{store}"\n'
    )
    named.write_text(f'{config.read_text()}[model]\nname = "als"\n')
    for command in (
        ("train", "--store", store, "--config", config),  # a model is chosen; once is enough
        ("evaluate", "--config", named),
        ("compare", "--no-tune", "--models", "als,popularity", "--config", named),
        ("nightly", "--config", named),
        ("nightly", "--json", "--config", named),
    ):
        done = run(*command)
        assert done.returncode in (0, 1, 2), done.stderr
        assert "Traceback" not in done.stderr, f"{command}: {done.stderr}"
        if done.returncode:
            assert "recsys: " in done.stderr
        elif split == "none" and command[0] == "train":
            assert "published" in done.stdout


def test_a_log_without_time_says_what_to_write(tmp_path: Path) -> None:
    done = run("train", tiny(tmp_path / "pairs.csv", 30, timed=False), cwd=tmp_path)
    assert done.returncode == 0 or 'evaluation.split = "random"' in done.stderr
