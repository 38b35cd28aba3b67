"""The report of a night: what each stage did and found out."""

from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any, Literal

Result = Literal["running", "done", "refused", "failed", "stopped"]


@dataclass(frozen=True)
class StageReport:
    """What one stage did and found out.

    Parameters
    ----------
    status : {"done", "reused", "left out", "failed"}
        "reused": an earlier start of this run had finished it.
    seconds : float
        Time that it took; of a reused one, in the start that finished it.
    peak_bytes : int or None
        The most memory that the process held meanwhile.
    facts : mapping
        What it found out, as JSON has it.
    """

    name: str
    status: Literal["done", "reused", "left out", "failed"]
    seconds: float
    peak_bytes: int | None = None
    facts: Mapping[str, Any] = field(default_factory=dict)

    @property
    def counts(self) -> dict[str, int | float | str]:
        """The facts that are one number or word each."""
        return {
            name: value
            for name, value in self.facts.items()
            if isinstance(value, int | float | str) and not isinstance(value, bool)
        }


@dataclass
class NightReport:
    """What a night did.

    Parameters
    ----------
    run : str
        Its id.
    result : {"running", "done", "refused", "failed", "stopped"}
    stages : list of StageReport
        In the order in which they were done.
    seconds : float
        From start to end of this process.
    error : str or None
        Why it is not "done".
    warnings : list of str
        What was passed over or left, each a sentence.
    """

    run: str
    store: str
    result: Result = "running"
    stages: list[StageReport] = field(default_factory=list)
    seconds: float = 0.0
    error: str | None = None
    warnings: list[str] = field(default_factory=list)

    def facts(self, stage: str) -> Mapping[str, Any]:
        """Return what a stage found out; empty where it was not reached."""
        return next((one.facts for one in self.stages if one.name == stage), {})

    @property
    def version(self) -> str | None:
        """The name of the version that was published, or kept as nothing was new; else None."""
        name: str | None = self.facts("publish").get("version")
        return name

    @property
    def is_idle(self) -> bool:
        """Whether there was nothing new, so that `version` is the one that was current before."""
        return bool(self.facts("publish").get("nothing_new", False))

    @property
    def metrics(self) -> Mapping[str, Mapping[str, Any]]:
        """By model, what the evaluation found."""
        found: Mapping[str, Mapping[str, Any]] = self.facts("evaluate").get("metrics", {})
        return found

    @property
    def peak_bytes(self) -> int | None:
        """The most memory that the process held in any stage."""
        known = [one.peak_bytes for one in self.stages if one.peak_bytes is not None]
        return max(known, default=None)

    def to_dict(self) -> dict[str, Any]:
        """Return it as JSON has it."""
        return {**asdict(self), "version": self.version, "peak_bytes": self.peak_bytes}
