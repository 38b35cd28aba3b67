"""What a part of a log is for: said by the split that made it, and kept wherever it goes."""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal

if TYPE_CHECKING:
    from recsys.logs.interactions import Interactions

Role = Literal["train", "history", "validation", "test"]
ProtocolName = Literal["time", "last", "random", "folds", "users", "given"]


@dataclass(frozen=True, eq=False)
class Part:
    """What a part of a log is for, how it was made, and who in it is new.

    Parameters
    ----------
    role : {"train", "history", "validation", "test"}
        "history" is what is known of users whom train does not hold (strong generalization). What
        is held out of a train part is a validation part; a test part remains one, however it is
        divided.
    protocol : {"time", "last", "random", "folds", "users", "given"}
        The split that made it. "time" and "last" promise an order of train and test, which
        `recsys.logs.leaks` holds them to.
    new_users : Interactions or None
        The held-out events of users whom train does not know with items that it does know, over
        those users and the items of train; None where there are none.
    n_new_users, n_new_items : int
        Users and items of the held-out events that train does not know.
    """

    role: Role
    protocol: ProtocolName
    new_users: "Interactions | None" = None
    n_new_users: int = 0
    n_new_items: int = 0


def roles_of_halves(part: Part | None) -> tuple[Role, Role]:
    """Return the roles of what stays and of what is held out, when a log is divided.

    Parameters
    ----------
    part : Part or None
        Of the log that is divided; None for a whole log.
    """
    if part is None:
        return "train", "test"
    if part.role in ("train", "history"):
        return part.role, "validation"
    return part.role, part.role
