"""What the parts of a log are for, and which split made them."""

from typing import Literal

Role = Literal["train", "history", "validation", "test"]
ProtocolName = Literal["time", "last", "random", "folds", "users", "given"]


def roles_of_halves(role: Role | None) -> tuple[Role, Role]:
    """Return the roles of what stays and of what is held out, when a log is divided.

    Parameters
    ----------
    role : {"train", "history", "validation", "test"} or None
        Of the log that is divided; None for a whole log.
    """
    if role is None:
        return "train", "test"
    if role in ("train", "history"):
        return role, "validation"
    return role, role
