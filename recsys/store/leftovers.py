"""What is not yet a version, and what no longer is one: folders that no reader looks at."""

import shutil
from pathlib import Path

STAGING = ".staging-"
"""Start of the name of a folder that a publisher writes to."""

TRASH = ".trash-"
"""Start of the name of a folder that was a version and is being deleted."""


def clear_leftovers(versions: Path) -> None:
    """Delete what dead publishers and pruners have left. Only for who holds the publish lock.

    Parameters
    ----------
    versions : path
        The folder of the versions.

    Raises
    ------
    OSError
        If something cannot be deleted.
    """
    for prefix in (STAGING, TRASH):
        for folder in versions.glob(f"{prefix}*"):
            shutil.rmtree(folder)
