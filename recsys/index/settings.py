"""Settings of the index: how candidates are found, and how well."""

from dataclasses import dataclass
from typing import Literal, get_args

from recsys.base.errors import ConfigError

IndexKind = Literal["annoy", "exact", "auto"]


@dataclass(frozen=True)
class IndexSettings:
    """How candidates are found; the ``[index]`` table of the config.

    Parameters
    ----------
    kind : {"annoy", "exact", "auto"}
        "auto" takes whichever of the two is faster on this catalogue, once both meet the target.
    target_recall : float
        Share of the exact best 20 items that the index has to find, above 0 and at most 1.
    head_share : float, optional
        Share of the items, those with the largest norms, that every query scans exactly before
        it asks the forest over the rest; at least 0 and below 1. Default: a half, or less as
        long as that is faster.
    trees : int
        Trees of the Annoy forest: more find more among as many candidates and take more disk.
    max_search_k : int
        Most candidates that a query may take from the forest; calibration doubles up to here.
    similar_users : bool
        Prepare `similar_users`, which takes some 90 bytes a user at 64 factors. Without, it scores
        every user in memory.
    seed : int
        Of the forest, and of the sample of users that the index is measured on.

    Raises
    ------
    ConfigError
        If a setting is out of range.
    """

    kind: IndexKind = "annoy"
    target_recall: float = 0.98
    head_share: float | None = None
    trees: int = 20
    max_search_k: int = 65_536
    similar_users: bool = True
    seed: int = 0

    def __post_init__(self) -> None:
        if self.kind not in get_args(IndexKind):
            expected = ", ".join(get_args(IndexKind))
            raise ConfigError(f"index.kind: expected one of {expected}, got {self.kind!r}")
        if not 0 < self.target_recall <= 1:
            raise ConfigError(
                f"index.target_recall: expected above 0 and at most 1, got {self.target_recall}"
            )
        if self.head_share is not None and not 0 <= self.head_share < 1:
            raise ConfigError(
                f"index.head_share: expected at least 0 and below 1, got {self.head_share}"
            )
        for name in ("trees", "max_search_k"):
            if getattr(self, name) < 1:
                raise ConfigError(f"index.{name}: expected 1 or more, got {getattr(self, name)}")
        if not 0 <= self.seed < 2**31:
            raise ConfigError(f"index.seed: expected 0 to 2**31 - 1, got {self.seed}")
