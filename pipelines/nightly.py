"""Run the night by pipelines/nightly.toml, or by another config: ``nightly.py [CONFIG]``."""

import sys
from pathlib import Path

from recsys.cli import main as recsys


def main() -> None:
    """Call ``recsys nightly``, which is the same on a machine without this checkout."""
    config = sys.argv[1] if len(sys.argv) > 1 else str(Path(__file__).with_name("nightly.toml"))
    sys.argv[1:] = ["nightly", "--config", config]
    recsys()


if __name__ == "__main__":
    main()
