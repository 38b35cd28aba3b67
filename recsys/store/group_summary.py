"""What a manifest keeps of an evaluation by groups of users and of items."""

from collections.abc import Mapping
from dataclasses import dataclass, fields
from typing import Any


@dataclass(frozen=True)
class GroupSummary:
    """What a model reaches in one group of users, or of items.

    Parameters
    ----------
    by, metric : str
        What the groups are, and what is measured.
    group : str
        Such as "5 - 9 items".
    n : int
        Users of the group; of items, the held-out pairs with one of them.
    interval : (float, float)
        95 % interval of the value; None where a group is too small for one.
    loses : bool
        Whether popularity is better here, by more than luck.
    """

    by: str
    metric: str
    group: str
    n: int
    value: float | None
    interval: tuple[float | None, float | None]
    loses: bool = False

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "GroupSummary":
        """Read what JSON holds; keys that a newer release added are left out."""
        known = {one.name: content[one.name] for one in fields(cls) if one.name in content}
        low, high = content["interval"]
        return cls(**known | {"interval": (low, high)})
