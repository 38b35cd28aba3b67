"""Every error that recsys raises on purpose, as one tree.

::

    RecsysError
    ├── DataError               (ValueError)       a log, matrix or argument that cannot be used
    ├── ConfigError             (ValueError)       a setting that is unknown or out of range
    ├── DivergedError           (ArithmeticError)  a solver produced numbers that are not finite
    ├── UnknownUserError        (LookupError)      a user that the version does not hold
    ├── UnknownItemError        (LookupError)      an item that the version does not hold
    ├── StoreError                                 a store that cannot be read or written
    │   ├── VersionNotFoundError
    │   ├── CorruptVersionError                    a file that is not what its manifest says
    │   └── UnreadableError                        a file that cannot be read now; no damage
    ├── EventsError                                events that cannot be kept or read now
    │   └── EventsFullError                        a database of events, or its disk, is full
    ├── ServiceError                               a service that does not answer, or not now
    └── GateFailedError                            a check refused the publish; carries the checks

A message is one sentence: what, where, what was expected, what was found, what to do.
"""

from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from reprlib import Repr
from typing import Any

_SHOWN = 80  # characters of a value in a message
_MANY = _SHOWN // 3  # values, of which each takes three

_short = Repr()
_short.maxstring = _short.maxother = _short.maxlong = _SHOWN
_short.maxlist = _short.maxtuple = _short.maxset = _short.maxfrozenset = _short.maxdict = _MANY


class RecsysError(Exception):
    """Base of every error that recsys raises on purpose."""


class DataError(RecsysError, ValueError):
    """A log, matrix or argument that cannot be used."""


class ConfigError(RecsysError, ValueError):
    """A setting that is unknown, of the wrong type or out of range."""


class DivergedError(RecsysError, ArithmeticError):
    """A solver produced numbers that are not finite."""


class UnknownUserError(RecsysError, LookupError):
    """A user id that the version does not hold."""


class UnknownItemError(RecsysError, LookupError):
    """An item id that the version does not hold."""


class StoreError(RecsysError):
    """A store that cannot be read or written."""


class VersionNotFoundError(StoreError):
    """A version, or CURRENT, that the store does not hold."""


class CorruptVersionError(StoreError):
    """A file of a version that is not what its manifest says."""


class UnreadableError(StoreError):
    """A file that the operating system would not open or read now; this says nothing of damage.

    Attributes
    ----------
    number : int or None
        The ``errno``, such as ``errno.EMFILE``.
    """

    def __init__(self, message: str, number: int | None = None) -> None:
        super().__init__(message)
        self.number = number


class EventsError(RecsysError):
    """Events that cannot be kept or read now: their database is not reached."""


class EventsFullError(EventsError):
    """A database of events that holds as many as it may, or whose disk is full."""


class ServiceError(RecsysError):
    """A service that cannot be reached, or that did not answer what was asked.

    Attributes
    ----------
    status : int or None
        Of HTTP; None without an answer.
    code : str
        Of the problem, such as "overloaded" or "no_key"; "timeout" or "unreachable" without an
        answer; empty where something else than the service answered.
    request_id : str
        Under which the log of the service has the request.
    retry_after : float or None
        The seconds after which it may be asked again, where it says so.
    """

    def __init__(
        self,
        message: str,
        *,
        status: int | None = None,
        code: str = "",
        request_id: str = "",
        retry_after: float | None = None,
    ) -> None:
        super().__init__(message)
        self.status, self.code = status, code
        self.request_id, self.retry_after = request_id, retry_after


class GateFailedError(RecsysError):
    """A publish that one or more checks refused.

    Attributes
    ----------
    failures : tuple of str
        One sentence per failed check.
    checks : tuple
        The failed checks themselves, each a `recsys.store.Check`, where the version was kept.
    version : str or None
        Its name, where it was kept.
    """

    def __init__(
        self, failures: Sequence[str], checks: Sequence[Any] = (), version: str | None = None
    ) -> None:
        self.failures = tuple(failures)
        self.checks = tuple(checks)
        self.version = version
        message = "; ".join(self.failures)
        if version is not None:
            message = (
                f"version {version}: refused by {len(self.failures)} of its checks, and kept: "
                f"{message}; mend the log or the settings and train again, train another log into "
                "a store of its own (--store OTHER), or serve it all the same with recsys activate "
                f"{version} --force"
            )
        super().__init__(message)

    def __reduce__(self) -> tuple[Any, ...]:
        """Pickle by the arguments of `__init__`, as the message is none of them."""
        return type(self), (self.failures, self.checks, self.version)


def briefly(value: object) -> str:
    """Return a value as Python writes it, in one line of at most 80 characters.

    Of a long text the start and the end, of a list of many ids the first ones.

    Examples
    --------
    >>> briefly("i7"), len(briefly("i" * 1_000_000))
    ("'i7'", 80)
    >>> briefly(list(range(10_000)))[:14]
    '[0, 1, 2, 3, 4'
    """
    text = _short.repr(value)
    if "\n" in text:  # an array, a table
        text = " ".join(text.split())
    return cut_short(text)


def cut_short(text: str) -> str:
    """Return the first 80 characters of a text, of which a longer one ends in dots."""
    return text if len(text) <= _SHOWN else f"{text[: _SHOWN - 1]}…"


def did_you_mean(name: str, known: Iterable[str], *, prefix: str = "") -> str:
    """Return the end of a sentence that names the closest of some known names, or nothing.

    Examples
    --------
    >>> did_you_mean("facters", ["factors", "seed"])
    "; did you mean 'factors'?"
    """
    names = list(known)
    close = [other for other in names if other.casefold() == name.casefold()]
    close = close or get_close_matches(name, names, n=1, cutoff=0.5)
    return f"; did you mean {prefix + close[0]!r}?" if close else ""
