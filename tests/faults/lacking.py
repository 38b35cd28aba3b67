"""Every command on a store whose file system lacks calls; one JSON line for each on stdout.

    LD_PRELOAD=lacking.so LACKS="flock fsync chmod" python -m tests.faults.lacking FOLDER

Every command is a fork of this process, as in `tests.faults.signalled`. The current version is held
open when versions are pruned.
"""

import importlib
import sys
from pathlib import Path

from recsys.store import current, open_version, versions
from tests.faults.signalled import PRELOADED, Moment, clear, prepare, run
from tests.forks import write_line

COMMANDS = (
    *("train", "nightly", "rollback", "train", "nightly", "versions", "status", "recommend"),
    *("batch", "export", "verify", "prune", "prune without locks"),
)


def main(folder: Path) -> None:
    for module in PRELOADED:
        importlib.import_module(module)
    prepare(folder)
    store = folder / "store"
    oldest = open_version(store)  # the first; a prune must not delete it
    for name in COMMANDS:
        clear(folder)
        done = run(folder, name, Moment())
        names = [version.name for version in versions(store)]
        held = oldest.version.name in names
        write_line(name=name, code=done.code, err=done.err, versions=names, held=held)
    write_line(name="end", current=current(store))


if __name__ == "__main__":
    main(Path(sys.argv[1]))
