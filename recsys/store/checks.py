"""What was checked before a version was published."""

from dataclasses import dataclass
from typing import Literal

Status = Literal["accepted", "refused"]


@dataclass(frozen=True)
class Check:
    """One thing that was measured of a version, and what it was held to.

    Parameters
    ----------
    name : str
        Such as "list_churn".
    value : float or None
        None where it could not be measured; the sentence says why.
    threshold : float or None
        None where it is not held to anything.
    passed : bool
    sentence : str
        What was found, for a person.
    refuses : bool
        Whether the version is refused for it; a check may also fail and only be told.
    """

    name: str
    value: float | None
    threshold: float | None
    passed: bool
    sentence: str
    refuses: bool = False
