"""What the manifest keeps of an index: what was built, what it finds, and how fast."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from typing import Any, Self

import numpy as np
from numpy.typing import NDArray

from recsys.index.searcher import LONG, SHORT

CLUSTERS = "clusters"
"""The kind of an index whose items stand in clusters; releases that know none refuse it."""


@dataclass(frozen=True)
class PartialSummary:
    """How far an index is searched that need not look at every item; by length, 20 and 100."""

    search_k: Mapping[int, int]  # candidates, or clusters; 0 where all that is left is scanned
    probe_recall: float  # share of the stored answers that it found when it was built
    most_excluded: Mapping[int, int]  # up to which it is asked; -1 where it never is
    # Recall of lists of 1, 20, 100 and 1000 items, by the name of what they are under; None
    # without users.
    conditions: Mapping[str, Mapping[int, float | None]]
    seed: int

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, with lengths as text, as JSON has them."""
        return asdict(self) | {
            "search_k": _with_text_keys(self.search_k),
            "most_excluded": _with_text_keys(self.most_excluded),
            "conditions": {name: _with_text_keys(one) for name, one in self.conditions.items()},
        }

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> Self:
        """Read what `to_dict` wrote, in this release or one before it."""
        get = content.get
        common = {field.name for field in fields(PartialSummary)}
        return cls(
            **{one.name: content[one.name] for one in fields(cls) if one.name not in common},
            seed=content["seed"],
            search_k=_with_numbers(content["search_k"]),
            # The answers to a few queries may be better or worse than what users get, but before
            # they were counted the target was all there was.
            probe_recall=get("probe_recall", content["target_recall"]),
            # A release that did not measure exclusions cannot say where the forest is good enough.
            most_excluded=_with_numbers(get("most_excluded", {SHORT: -1, LONG: -1})),
            conditions={name: _with_numbers(one) for name, one in get("conditions", {}).items()},
        )


@dataclass(frozen=True)
class ForestSummary(PartialSummary):
    """How a forest was built."""

    head_share: float
    n_head: int  # items with the largest norms, which are scanned before the forest is asked
    trees: int


@dataclass(frozen=True)
class ClusterSummary(PartialSummary):
    """How many clusters there are; a `search_k` of 0 is exact."""

    n_clusters: int


@dataclass(frozen=True)
class Times:
    """Milliseconds of a query by a stopwatch, on the machine and under the load of the build."""

    p50: float | None
    p99: float | None

    @classmethod
    def of(cls, milliseconds: NDArray[np.float64]) -> "Times":
        """Return percentiles; None without any query."""
        if len(milliseconds) == 0:
            return cls(None, None)
        p50, p99 = np.percentile(milliseconds, (50, 99)).round(4).tolist()
        return cls(p50, p99)


@dataclass(frozen=True)
class WorkSummary:
    """Counted work of lists of one length."""

    ms: float  # mean time of a query by the cost model
    exact_ms: float  # that of an exact search
    mean: Mapping[str, float]  # counts of a query; `recsys.index.compiled.COUNTED` says of what


@dataclass(frozen=True)
class IndexSummary:
    """What `build_index` built and measured, and what `load_index` needs to open it.

    Parameters
    ----------
    kind : {"annoy", "clusters", "exact"}
    recall : mapping of int to float or None
        Share of the exact lists of 20 and of 100 that are found; None without users.
    times : mapping of int to Times
        By length of the list.
    exact_p50_ms : float or None
        Of an exact search for lists of 20.
    work : mapping of int to WorkSummary
        By length of the list: what the index was chosen by. Empty before it was counted.
    costs : mapping of str to float
        Constants of the cost model.
    forest : ForestSummary, optional
        Where the kind is "annoy".
    clusters : ClusterSummary, optional
        Where the kind is "clusters".
    without_annoy : str, optional
        Why there is no forest, where Annoy could not be used.
    """

    kind: str
    target_recall: float
    n_users_measured: int
    recall: Mapping[int, float | None]
    times: Mapping[int, Times]
    exact_p50_ms: float | None
    work: Mapping[int, WorkSummary] = field(default_factory=dict)
    costs: Mapping[str, float] = field(default_factory=dict)
    forest: ForestSummary | None = None
    clusters: ClusterSummary | None = None
    without_annoy: str | None = None

    def to_dict(self) -> dict[str, Any]:
        """Return plain types, as the manifest holds them."""
        short, long = self.times[SHORT], self.times[LONG]
        content: dict[str, Any] = {
            "kind": self.kind,
            "target_recall": self.target_recall,
            "n_users_measured": self.n_users_measured,
            "exact_p50_ms": self.exact_p50_ms,
            f"recall@{SHORT}": self.recall[SHORT],
            f"recall@{LONG}": self.recall[LONG],
            "p50_ms": short.p50,
            "p99_ms": short.p99,
            f"p50_ms@{LONG}": long.p50,
            f"p99_ms@{LONG}": long.p99,
        }
        if (partial := self.forest or self.clusters) is not None:
            content |= partial.to_dict()
        if self.without_annoy is not None:
            content["without_annoy"] = self.without_annoy
        counted = {str(k): asdict(work) for k, work in self.work.items()}
        return {**content, "counted": counted, "costs": dict(self.costs)}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "IndexSummary":
        """Read what `to_dict` wrote, in this release or one before it."""
        get = content.get
        counted = get("counted", {}).items()
        return cls(
            kind=content["kind"],
            target_recall=get("target_recall", 1.0),
            n_users_measured=get("n_users_measured", 0),
            recall={k: get(f"recall@{k}") for k in (SHORT, LONG)},
            times={
                SHORT: Times(get("p50_ms"), get("p99_ms")),
                LONG: Times(get(f"p50_ms@{LONG}"), get(f"p99_ms@{LONG}")),
            },
            exact_p50_ms=get("exact_p50_ms"),
            work={int(k): WorkSummary(**work) for k, work in counted},
            costs=get("costs", {}),
            forest=ForestSummary.from_dict(content) if content["kind"] == "annoy" else None,
            clusters=ClusterSummary.from_dict(content) if content["kind"] == CLUSTERS else None,
            without_annoy=get("without_annoy"),
        )


def _with_text_keys(by_length: Mapping[int, Any]) -> dict[str, Any]:
    return {str(k): value for k, value in by_length.items()}


def _with_numbers(by_length: Mapping[Any, Any]) -> dict[int, Any]:
    return {int(k): value for k, value in by_length.items()}
