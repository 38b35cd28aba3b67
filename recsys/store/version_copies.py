"""The local copies of the versions of a store in a bucket: which is current, which may go."""

import shutil
from contextlib import suppress
from pathlib import Path

from recsys.base.durable import replace_text
from recsys.base.locks import state_of
from recsys.store.manifest import MANIFEST

CURRENT = "CURRENT"
VERSIONS = "versions"
_KEPT = 2  # beside the one that was fetched last, and those that are open


class VersionCopies:
    """The folder of the copies of a store, which has the layout of every store."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def remember(self, name: str) -> None:
        """Keep what is current for a time in which the bucket is not reached."""
        path = self.folder / CURRENT
        with suppress(OSError):
            if not path.exists() or path.read_text(encoding="utf-8").strip() != name:
                replace_text(path, name)

    @property
    def last_known(self) -> str | None:
        """What was current when the bucket was reached last, if there is a copy of it."""
        with suppress(OSError):
            name = (self.folder / CURRENT).read_text(encoding="utf-8").strip()
            return name if (self.folder / VERSIONS / name / MANIFEST).is_file() else None
        return None

    def drop_others(self, kept: str) -> None:
        """Delete copies of versions that are not open, but for the newest ones."""
        copies = [path for path in (self.folder / VERSIONS).iterdir() if path.name != kept]
        copies = [path for path in copies if path.is_dir() and not path.name.startswith(".")]
        copies.sort(key=lambda path: path.name, reverse=True)
        for path in copies[_KEPT:]:
            self.drop(path.name)

    def drop(self, name: str) -> None:
        """Delete the local copy of a version, unless a process of this machine has it open."""
        path = self.folder / VERSIONS / name
        with suppress(OSError), state_of(path / MANIFEST) as held:
            if held != "held":
                self.take_away(name)

    def take_away(self, name: str) -> bool:
        """Delete a copy whoever has it open; return whether there was one."""
        path = self.folder / VERSIONS / name
        trash = path.with_name(f".trash-{name}")
        shutil.rmtree(trash, ignore_errors=True)
        try:
            path.rename(trash)
        except OSError:
            return False
        shutil.rmtree(trash, ignore_errors=True)
        return True
