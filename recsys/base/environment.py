"""What this process runs in: cores and memory, the installed package, its extras and versions."""

import ctypes
import gc
import os
import platform
import re
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any

from recsys.base.errors import ConfigError

DISTRIBUTION = "recsys-engine"
"""The name of the distribution. The package is imported as `recsys`, and so is its command;
on PyPI, that name belongs to another project."""

COMMIT = "RECSYS_COMMIT"
"""Environment variable that names the commit where there is no git, as in an image."""

_PACKAGES = ("annoy", "numba", "numpy", "pyarrow", "scipy")
_GIT_TIMEOUT = 10  # seconds
_STATUS, _RESET = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def usable_cores() -> int:
    """Return the number of cores that this process may use; a container can have fewer."""
    if _held_to:
        return _held_to
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1


_held_to = 0


def hold_to_cores(n: int) -> None:
    """Let this process use n cores from now on, as where others of its kind use the rest."""
    global _held_to
    _held_to = n


def usable_memory(root: Path = Path("/")) -> int:
    """Return the bytes of memory that this process may use; a container can have fewer."""
    found = [os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")]
    for limit in _limits_of_memory(root):
        with suppress(OSError, ValueError):  # "max" is no limit
            found.append(int(limit.read_text()))
    return min(found)


def _limits_of_memory(root: Path) -> Iterator[Path]:
    """Yield the files of limits of this process's control groups and of those above them."""
    with suppress(OSError):
        for line in (root / "proc/self/cgroup").read_text().splitlines():
            _, kind, place = line.split(":", 2)
            if kind not in ("", "memory"):
                continue
            top = root / "sys/fs/cgroup" / kind
            name = "memory.limit_in_bytes" if kind else "memory.max"
            # Within a container its own group is the top one, whatever the place says.
            for group in (top, *(top / one for one in _with_parents(place.strip("/")))):
                yield group / name


def _with_parents(place: str) -> list[str]:
    return [str(one) for one in (Path(place), *Path(place).parents)]


@dataclass
class Peak:
    """What the process held at most, beyond what it held at the beginning.

    Attributes
    ----------
    n_bytes : int or None
        None where the system does not count it.
    total_bytes : int or None
        The same, with what it held at the beginning.
    """

    n_bytes: int | None = None
    total_bytes: int | None = None


@contextmanager
def peak_memory(*, collect: bool = True) -> Iterator[Peak]:
    """Measure the peak of the memory of this process while the block runs (on Linux).

    Parameters
    ----------
    collect : bool
        Collect garbage first, which takes a tenth of a second: else garbage that the block frees
        hides what it takes.

    Yields
    ------
    Peak
        Filled in at the end.
    """
    peak = Peak()
    if collect:
        gc.collect()
    _release_free_memory()
    try:
        _RESET.write_text("5")  # sets VmHWM, the highest value so far, to the present one
        before = _kilobytes("VmRSS:")
    except OSError:
        yield peak
        return
    yield peak
    highest = _kilobytes("VmHWM:")
    peak.n_bytes, peak.total_bytes = max(highest - before, 0) * 1024, highest * 1024


def _release_free_memory() -> None:
    """Return free memory to the system: a fit that used it again would seem to take none."""
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)  # of glibc
    if trim is not None:
        trim(0)


def _kilobytes(name: str) -> int:
    lines = _STATUS.read_text().splitlines()
    return next(int(line.split()[1]) for line in lines if line.startswith(name))


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


@cache
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


def expanded(value: Any, folder: Path, where: str) -> Any:
    """Fill in environment variables and make paths relative to the folder of the config."""
    if isinstance(value, list):
        return [expanded(part, folder, where) for part in value]
    if not isinstance(value, str):
        return value
    filled = os.path.expandvars(value)
    if missing := re.search(r"\$\{?(\w+)", filled):
        raise ConfigError(
            f"{where}: the path {value!r} needs the environment variable {missing[1]}, "
            "which is not set"
        )
    if "://" in filled:  # an address
        return filled
    path = str(folder / Path(filled).expanduser())
    tidy = os.path.normpath(path)
    is_same = os.path.realpath(tidy) == os.path.realpath(path)  # not where a link comes before ..
    return tidy if is_same else path
