"""How candidates are found; the [index] table."""

from dataclasses import dataclass
from typing import Literal, get_args

from recsys.base.checks import ShowsChanges, require, require_types

IndexKind = Literal["annoy", "exact", "auto"]
IndexStorage = Literal["float32", "int8"]


@dataclass(frozen=True, repr=False)
class IndexSettings(ShowsChanges):
    """How candidates are found; the ``[index]`` table."""

    kind: IndexKind = "annoy"
    """"auto" takes whichever of the two costs less on this catalogue, once both meet the target."""
    target_recall: float = 0.98
    """Share of the exact best 20 items that the index has to find, above 0 and at most 1."""
    head_share: float | None = None
    """Share of the items, those with the largest norms, that every query scans exactly before
    it asks the forest over the rest; at least 0 and below 1. Default: a half, or less as
    long as that costs less."""
    trees: int = 20
    """Trees of the Annoy forest: more find more among as many candidates and take more disk."""
    max_search_k: int = 65_536
    """Most candidates that a query may take from the forest; calibration doubles up to here."""
    similar_users: bool = True
    """Prepare `similar_users`, some 90 bytes a user at 64 factors. Without, it scores them all."""
    storage: IndexStorage = "float32"
    """What is served from. "int8" takes a quarter of the disk; the Parquet files keep float32."""
    seed: int = 0
    """Of the forest, and of the sample of users that the index is measured on."""

    def __post_init__(self) -> None:
        require_types("index", self)
        require("index.kind", self.kind, one_of=get_args(IndexKind))
        require("index.target_recall", self.target_recall, above=0, at_most=1)
        if self.head_share is not None:
            require("index.head_share", self.head_share, least=0, below=1)
        require("index.trees", self.trees, least=1)
        require("index.max_search_k", self.max_search_k, least=1)
        require("index.storage", self.storage, one_of=get_args(IndexStorage))
        require("index.seed", self.seed, least=0, below=2**31, expected="0 to 2**31 - 1")
