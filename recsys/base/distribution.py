"""What is installed: the name that pip has for this package, its extras, and versions."""

from recsys.base.errors import ConfigError

DISTRIBUTION = "recsys-engine"
"""The name of the distribution. The package is imported as `recsys`, and so is its command;
on PyPI, that name belongs to another project."""


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
