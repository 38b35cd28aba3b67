"""Train on the bundled log and print what one user would be shown; `make demo` runs this."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
RECSYS = [str(Path(sys.executable).with_name("recsys"))]
CONFIG = ROOT / "pipelines" / "sample.toml"


def run(*arguments: str) -> None:
    """Run one command of the command line, shown first as a person would type it."""
    print("\n$ recsys", *arguments, flush=True)
    subprocess.run([*RECSYS, *arguments], check=True, cwd=ROOT)


def main() -> None:
    """Train, then recommend."""
    config = str(CONFIG.relative_to(ROOT))
    run("train", "--config", config, "--store", "store")
    run("recommend", "u42", "-k", "10", "--store", "store")
    run("similar", "i7", "-k", "5", "--store", "store")


if __name__ == "__main__":
    main()
