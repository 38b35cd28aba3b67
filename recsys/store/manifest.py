"""The manifest of a version: what it holds, how it was made, and its checks."""

import hashlib
import json
import stat
from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal

from recsys.base.annotations import misfit
from recsys.base.durable import sha256_of
from recsys.base.errors import CorruptVersionError, GateFailedError, StoreError, briefly
from recsys.base.lazy import lazy_property
from recsys.base.plain import plain
from recsys.base.reading import fault_of
from recsys.index import IndexSummary
from recsys.store.evaluation_summary import EvaluationSummary
from recsys.vectors.ids import Kind

if TYPE_CHECKING:
    from recsys.logs.log_summary import LogSummary

FORMAT = 3
MANIFEST = "manifest.json"
_CHECKSUM, _END = ',\n  "manifest_sha256":', "\n}\n"


@dataclass(frozen=True)
class Check:
    """A measure of a version, and the limit it was checked against.

    Parameters
    ----------
    name : str
        Such as "list_churn".
    value : float or None
        None where it could not be measured; the sentence says why.
    threshold : float or None
        None where there is no limit.
    sentence : str
        What was found, for a person.
    refuses : bool
        Whether the version is refused for it; a failed check may also only be reported.
    """

    name: str
    value: float | None
    threshold: float | None
    passed: bool
    sentence: str
    refuses: bool = False


@dataclass(frozen=True)
class FileFacts:
    """Size in bytes and SHA-256 of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class ModelSpec:
    """The name and the hyperparameters of a model, as `recsys.models.model_from` takes them.

    Parameters
    ----------
    mean_weight : float or None
        Of the pairs that the model was fitted to: the unit of the weights of a history. It is of
        the log, so that two models that differ in it alone are the same. None in a version of a
        release that fitted weights as they were.
    choice : mapping or None
        How it was chosen, where the settings name no model; see `recsys.tuning.Choice`.
    """

    name: str
    parameters: Mapping[str, Any]
    mean_weight: float | None = field(default=None, compare=False)
    choice: Mapping[str, Any] | None = field(default=None, compare=False)

    @property
    def unit(self) -> float:
        """The weight that counts as 1."""
        return 1.0 if self.mean_weight is None else self.mean_weight


@dataclass(frozen=True)
class IndexSummaries:
    """What was built and measured of the indexes of a version.

    Parameters
    ----------
    main : IndexSummary
        Of the index that answers users.
    similar : mapping of {"item", "user"} to IndexSummary
        Of the indexes by cosine; without users where the settings say so.
    """

    main: IndexSummary
    similar: Mapping[Kind, IndexSummary] = field(default_factory=dict)

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "IndexSummaries":
        """Read what `to_dict` wrote."""
        kinds: tuple[Kind, ...] = ("item", "user")
        similar = {kind: content.get(f"similar_{kind}s") for kind in kinds}
        return cls(
            IndexSummary.from_dict(content),
            {kind: IndexSummary.from_dict(one) for kind, one in similar.items() if one is not None},
        )

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        similar = {f"similar_{kind}s": one.to_dict() for kind, one in self.similar.items()}
        return self.main.to_dict() | similar


@dataclass(frozen=True, repr=False)
class Manifest:
    """What a version holds and how it was made.

    Parameters
    ----------
    version : str
        Its name: time of publishing in UTC, and the start of a hash over its files.
    created : str
        Time of publishing, ISO 8601.
    parent : str or None
        The version that was current before.
    space_id : str
        Vectors of two versions can be compared only where this is the same.
    factors, n_users, n_items, n_seen : int
        Dimension of the embeddings, their numbers, and the pairs of user and seen item.
    alignment : mapping
        Why the space is the parent's or a new one, and how well they fit; see
        `recsys.vectors.Alignment`.
    data : mapping
        The summary of the log, the night that published it, and what a `refresh` added to what.
    metrics : mapping of str to EvaluationSummary
        By model: the evaluation on the test part.
    config, features : mapping
        The settings of the run, seeds among them; the columns that the model knows, by side.
    environment : mapping
        Python, platform and package versions, cores, and the commit of the training code.
    files : mapping of str to FileFacts
        By path inside the version: every file but the manifest.
    status : {"accepted", "refused"}
        Whether the gates let it become current; a refused version is kept for inspection.
    checks : tuple of Check
        What the gates found; empty in manifests from before there were gates.
    format : int
        Of the files; this release reads and writes 3.
    """

    version: str
    created: str
    parent: str | None
    space_id: str
    model: ModelSpec
    factors: int
    n_users: int
    n_items: int
    n_seen: int
    index: IndexSummaries
    alignment: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, EvaluationSummary] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    features: Mapping[str, Any] = field(default_factory=dict)
    status: Literal["accepted", "refused"] = "accepted"
    checks: tuple[Check, ...] = ()
    format: int = FORMAT

    def __repr__(self) -> str:
        return (
            f"Manifest({self.version}: {self.model.name}, {self.factors} factors, "
            f"{self.n_users} users, {self.n_items} items, {self.status})"
        )

    @lazy_property
    def log(self) -> "LogSummary":
        """The summary of the log; without any fact where a version was published without one."""
        from recsys.logs.log_summary import LogSummary  # not needed to serve

        try:
            summary = LogSummary.from_dict(self.data)
            wrong = misfit(summary, LogSummary, "data.log")
        except (TypeError, KeyError, AttributeError, ValueError) as error:
            wrong = str(error)
        if wrong is not None:
            raise CorruptVersionError(
                f"version {self.version}: expected the summary of a log, got {wrong}; activate "
                "another version"
            )
        return summary

    def require_accepted(self) -> None:
        """Raise a GateFailedError, which names the failed checks, for a version that is refused."""
        if self.status == "refused":
            refusing = [check for check in self.checks if check.refuses]
            raise GateFailedError([check.sentence for check in refusing], refusing, self.version)

    @property
    def refreshed_from(self) -> str | None:
        """The version whose model and metrics it has, where a refresh added rows to it."""
        found: str | None = (self.data.get("refresh") or {}).get("of")
        return found

    @property
    def evaluation(self) -> EvaluationSummary | None:
        """The evaluation of the published model; None where it was not tested."""
        return self.metrics.get(self.model.name)

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold; a number that is not finite becomes None."""
        content: dict[str, Any] = plain({one.name: getattr(self, one.name) for one in fields(self)})
        return content

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "Manifest":
        """Read what `to_dict` wrote; keys that a newer release added are left out."""
        known = {one.name for one in fields(cls)}
        read = {name: value for name, value in content.items() if name in known}
        model = content["model"]
        read["model"] = ModelSpec(
            model["name"], model["parameters"], model.get("mean_weight"), model.get("choice")
        )
        read["index"] = IndexSummaries.from_dict(content["index"])
        read["metrics"] = {
            name: EvaluationSummary.from_dict(one)
            for name, one in content.get("metrics", {}).items()
        }
        read["files"] = {name: FileFacts(**facts) for name, facts in content["files"].items()}
        read["checks"] = tuple(Check(**check) for check in content.get("checks", ()))
        return cls(**read)

    def to_json(self) -> str:
        """Return the text of manifest.json, which ends with a checksum of itself."""
        content = json.dumps(self.to_dict(), indent=2, ensure_ascii=False, allow_nan=False)
        return _with_checksum(content + "\n")

    @staticmethod
    @lru_cache(maxsize=16)  # a publish asks some twenty times for those of the same few versions
    def from_json(text: str, path: Path | str) -> "Manifest":
        """Read what `to_json` wrote; a StoreError names `path` where it is of another format."""
        try:
            content = json.loads(text)
            content.pop("manifest_sha256")
            number = content["format"]
            is_whole = text == _with_checksum(text.rpartition(_CHECKSUM)[0] + _END)
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptVersionError(_damaged(path, f"{type(error).__name__}: {error}")) from error
        if number != FORMAT:
            raise StoreError(
                f"{path}: expected format {FORMAT}, got {briefly(number)} "
                f"of another release of recsys; "
                "install that, activate another version, or train into another --store"
            )
        if not is_whole:
            raise CorruptVersionError(_damaged(path, "the checksum of the manifest differs"))
        try:
            manifest = Manifest.from_dict(content)
            if wrong := misfit(manifest, Manifest, "manifest") or _impossible(manifest):
                raise ValueError(wrong)
        except (TypeError, KeyError, AttributeError, ValueError, OverflowError) as error:
            raise CorruptVersionError(_damaged(path, str(error))) from error
        return manifest


def _impossible(manifest: Manifest) -> str | None:
    """Return what cannot be so, though its types are right; None if nothing is."""
    if datetime.fromisoformat(manifest.created).tzinfo is None:
        return f"a time of publishing without a zone, {manifest.created!r}"
    for name in ("factors", "n_users", "n_items", "n_seen"):
        if not 0 <= getattr(manifest, name) < 2**63:
            return f"{name} of {getattr(manifest, name)}"
    for name, facts in manifest.files.items():
        parts = set(name.split("/"))
        if name.startswith("/") or ".." in parts or parts <= {"", "."} or "\0" in name:
            return f"a file outside the version, {name[:40]!r}"
        if facts.bytes < 0:
            return f"{name} of {facts.bytes} bytes"
    return None


def files_facts(folder: Path) -> dict[str, FileFacts]:
    """Return size and checksum of every file in a folder, by path inside it."""
    return {
        path.relative_to(folder).as_posix(): FileFacts(path.stat().st_size, sha256_of(path))
        for path in sorted(folder.rglob("*"))
        if path.is_file()
    }


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the version in a folder."""
    path = folder / MANIFEST
    try:
        if not stat.S_ISREG(path.stat().st_mode):  # to read a pipe would wait for its writer
            raise CorruptVersionError(_damaged(path, "something that is no file"))
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise CorruptVersionError(_damaged(path, "no such file")) from error
    except UnicodeDecodeError as error:
        raise CorruptVersionError(_damaged(path, "not UTF-8")) from error
    except (OSError, MemoryError) as error:
        raise fault_of(path, error) from error
    return Manifest.from_json(text, path)


def _with_checksum(text: str) -> str:
    """Return the text of a manifest with its own checksum as the last entry."""
    checksum = hashlib.sha256(text.encode()).hexdigest()
    return f'{text.removesuffix(_END)}{_CHECKSUM} "{checksum}"{_END}'


def _damaged(path: Path | str, found: str) -> str:
    return f"{path}: expected the manifest of a version, got {found}; activate another version"
