"""What is installed: this package, as pip names it, its extras, versions, and the environment."""

import os
import platform
import subprocess
from typing import Any

from recsys.base.errors import ConfigError
from recsys.base.process import usable_cores

DISTRIBUTION = "recsys-engine"
"""The name of the distribution. The package is imported as `recsys`, and so is its command;
on PyPI, that name belongs to another project."""


COMMIT = "RECSYS_COMMIT"
"""Environment variable that names the commit where there is no git, as in an image."""

_PACKAGES = ("annoy", "numba", "numpy", "pyarrow", "scipy")
_GIT_TIMEOUT = 10  # seconds


def extra(name: str) -> str:
    """Return what pip installs for an extra of this package.

    Examples
    --------
    >>> extra("tune")
    "'recsys-engine[tune]'"
    """
    return f"'{DISTRIBUTION}[{name}]'"


def missing_package(where: str, package: str, requirement: str, instead: str = "") -> ConfigError:
    """Return the error for an optional package that is not installed.

    Parameters
    ----------
    where : str
        The command or setting that needs it.
    package : str
        Its import name.
    requirement : str
        What to give to pip: a name, or an `extra`.
    instead : str
        What can be done without it, if anything can.

    Examples
    --------
    >>> print(missing_package("tune", "optuna", extra("tune")))
    tune: expected the package optuna, got none; pip install 'recsys-engine[tune]'
    """
    otherwise = f", or {instead}" if instead else ""
    return ConfigError(
        f"{where}: expected the package {package}, got none; pip install {requirement}{otherwise}"
    )


def installed_version(distribution: str = DISTRIBUTION) -> str | None:
    """Return the installed version of a distribution, None where it is not installed."""
    from importlib.metadata import PackageNotFoundError, version  # who serves needs no versions

    try:
        return version(distribution)
    except PackageNotFoundError:
        return None


def environment() -> dict[str, Any]:
    """Return the environment of this process for the manifest, in plain types."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {
            "recsys": installed_version(),
            **{package: installed_version(package) for package in _PACKAGES},
        },
        "cores": usable_cores(),
        "commit": commit(),
    }


def commit() -> str | None:
    """Return the commit of the training code, None where there is none.

    $RECSYS_COMMIT if it is set, else that of the git checkout that the process works in, with
    "-dirty" added where a tracked file has been changed since.
    """
    if given := os.environ.get(COMMIT):
        return given
    describe = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=_GIT_TIMEOUT)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None
