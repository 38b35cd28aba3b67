"""What a version was made by: Python, packages, processors, and the code of whoever trains."""

import os
import platform
import subprocess
from typing import Any

from recsys.compiled.parallel import usable_cores

COMMIT = "RECSYS_COMMIT"
"""Environment variable that names the commit where there is no git, as in an image."""

_PACKAGES = ("recsys", "annoy", "numba", "numpy", "pyarrow", "scipy")
_PATIENCE = 10  # seconds


def environment() -> dict[str, Any]:
    """Return what the manifest says of where it was made, in plain types."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {package: _version_of(package) for package in _PACKAGES},
        "cores": usable_cores(),
        "commit": commit(),
    }


def commit() -> str | None:
    """Return the commit of the training code, None where there is none.

    $RECSYS_COMMIT if it is set, else that of the git checkout that the process works in, with
    "-dirty" behind it where a tracked file has been changed since.
    """
    if given := os.environ.get(COMMIT):
        return given
    describe = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


def _version_of(package: str) -> str | None:
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:
        return None
