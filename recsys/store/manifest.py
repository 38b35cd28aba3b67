"""The manifest of a version: what it holds, its checks, and the environment that made it."""

import hashlib
import json
import math
import os
import platform
import subprocess
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, fields
from pathlib import Path
from typing import Any, Literal

from recsys.base.distribution import installed_version
from recsys.base.errors import CorruptVersionError, StoreError
from recsys.base.process import usable_cores

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


COMMIT = "RECSYS_COMMIT"
"""Environment variable that names the commit where there is no git, as in an image."""

_PACKAGES = ("annoy", "numba", "numpy", "pyarrow", "scipy")
_PATIENCE = 10  # seconds


def environment() -> dict[str, Any]:
    """Return what the manifest says of where it was made, in plain types."""
    return {
        "python": platform.python_version(),
        "platform": platform.platform(),
        "packages": {
            "recsys": installed_version(),
            **{package: installed_version(package) for package in _PACKAGES},
        },
        "cores": usable_cores(),
        "commit": commit(),
    }


def commit() -> str | None:
    """Return the commit of the training code, None where there is none.

    $RECSYS_COMMIT if it is set, else that of the git checkout that the process works in, with
    "-dirty" behind it where a tracked file has been changed since.
    """
    if given := os.environ.get(COMMIT):
        return given
    describe = ("git", "describe", "--always", "--dirty", "--abbrev=40", "--exclude=*")
    try:
        done = subprocess.run(describe, capture_output=True, text=True, timeout=_PATIENCE)
    except (OSError, subprocess.TimeoutExpired):
        return None
    return done.stdout.strip() or None


FORMAT = 3
MANIFEST = "manifest.json"


@dataclass(frozen=True)
class FileFacts:
    """Size in bytes and SHA-256 of one file."""

    bytes: int
    sha256: str


@dataclass(frozen=True)
class Manifest:
    """What a version says of itself.

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
    alignment : mapping
        The version that the embeddings were rotated onto, whether its space is "kept" or "new",
        the reason, and how well they fit; see `recsys.vectors.Alignment`.
    model : mapping
        "name" and "parameters", as `recsys.models.model_from` takes them.
    factors, n_users, n_items, n_seen : int
        Dimension of the embeddings, their numbers, and the pairs of user and seen item.
    index : mapping
        What `recsys.index.build_index` built and measured.
    data : mapping
        Events, their fingerprint, time window in seconds since 1970, and the row counts of the log.
    metrics : mapping
        By model: metrics with intervals on the part of the log held out.
    config : mapping
        The settings of the run, seeds among them.
    environment : mapping
        Python, platform and package versions, cores, and the commit of the training code.
    files : mapping of str to FileFacts
        By path inside the version: every file but the manifest.
    status : {"accepted", "refused"}
        Whether the checks let it be published; a refused version is kept to be looked at.
    checks : tuple of Check
        What was checked before; none in manifests of before there were checks.
    format : int
        Of the files; this release reads 2.
    """

    version: str
    created: str
    parent: str | None
    space_id: str
    model: Mapping[str, Any]
    factors: int
    n_users: int
    n_items: int
    n_seen: int
    index: Mapping[str, Any]
    alignment: Mapping[str, Any] = field(default_factory=dict)
    data: Mapping[str, Any] = field(default_factory=dict)
    metrics: Mapping[str, Any] = field(default_factory=dict)
    config: Mapping[str, Any] = field(default_factory=dict)
    environment: Mapping[str, Any] = field(default_factory=dict)
    files: Mapping[str, FileFacts] = field(default_factory=dict)
    status: Status = "accepted"
    checks: tuple[Check, ...] = ()
    format: int = FORMAT

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold; a number that is not finite becomes None."""
        content: dict[str, Any] = plain(asdict(self))
        return content

    def to_json(self) -> str:
        """Return the text of manifest.json, which ends with a checksum of itself."""
        content = self.to_dict()
        return _as_json(content | {"manifest_sha256": _checksum(content)})

    @classmethod
    def from_json(cls, text: str, path: Path) -> "Manifest":
        """Read the text of a manifest.json.

        Raises
        ------
        CorruptVersionError
            If it is not what `to_json` wrote; `path` is named.
        StoreError
            If it was written in another format.
        """
        try:
            content = json.loads(text)
            checksum = content.pop("manifest_sha256")
            number = content["format"]
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise CorruptVersionError(_damaged(path, f"{type(error).__name__}: {error}")) from error
        if number != FORMAT:
            raise StoreError(
                f"{path}: expected format {FORMAT}, got {number!r}; "
                "it was made by another release of recsys: install that one"
            )
        whole = content | {"manifest_sha256": checksum}
        if checksum != _checksum(content) or text != _as_json(whole):
            raise CorruptVersionError(_damaged(path, "the checksum of the manifest differs"))
        try:
            files = {name: FileFacts(**facts) for name, facts in content["files"].items()}
            checks = tuple(Check(**check) for check in content.get("checks", ()))
            known = {f.name for f in fields(cls)}
            given = {k: v for k, v in content.items() if k in known}
            return cls(**given | {"files": files, "checks": checks})
        except (TypeError, KeyError, AttributeError) as error:
            raise CorruptVersionError(_damaged(path, str(error))) from error


def read_manifest(folder: Path) -> Manifest:
    """Read the manifest of the version in a folder.

    Raises
    ------
    CorruptVersionError
        If it is missing or damaged.
    StoreError
        If it was written in another format, or may not be read.
    """
    path = folder / MANIFEST
    try:
        text = path.read_bytes().decode()
    except FileNotFoundError as error:
        raise CorruptVersionError(_damaged(path, "no such file")) from error
    except UnicodeDecodeError as error:
        raise CorruptVersionError(_damaged(path, "not UTF-8")) from error
    except OSError as error:
        raise StoreError(f"{path}: cannot be read: {error.strerror}") from error
    return Manifest.from_json(text, path)


def _checksum(content: Mapping[str, Any]) -> str:
    return hashlib.sha256(_as_json(content).encode()).hexdigest()


def _as_json(content: Mapping[str, Any]) -> str:
    return json.dumps(content, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def _damaged(path: Path, found: str) -> str:
    return f"{path}: expected the manifest of a version, got {found}; activate another version"


def plain(value: Any) -> Any:
    """Return a value as JSON has it: tuples as lists, NumPy numbers as Python's, no NaN."""
    if isinstance(value, Mapping):
        return {str(key): plain(part) for key, part in value.items()}
    if isinstance(value, list | tuple):
        return [plain(part) for part in value]
    if hasattr(value, "tolist"):
        return plain(value.tolist())
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    return value if isinstance(value, str | int | None) else str(value)
