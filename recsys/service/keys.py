"""API keys: hashed in a file, compared in constant time, each with what it may do.

A key is 32 random bytes, so one SHA-256 hides it as well as a slow hash hides a password. The file
has a JSON object a line; several keys of one name are valid at once, for their rotation.
"""

import json
import os
import secrets
from dataclasses import dataclass
from hashlib import sha256
from hmac import compare_digest
from pathlib import Path
from typing import Literal, Self, get_args

from recsys.base.errors import ConfigError, briefly

Scope = Literal["read", "write", "operate", "audience"]
SCOPES: tuple[Scope, ...] = get_args(Scope)

_PREFIX = "recsys_"
_MOST_BYTES = 1 << 20  # of the file


@dataclass(frozen=True)
class Key:
    """A key as the file has it."""

    name: str
    scopes: frozenset[str]
    digest: bytes  # SHA-256

    @classmethod
    def of(cls, line: str, where: str) -> Self:
        """Read one line of the file."""
        try:
            found = json.loads(line)
            name, scopes, digest = found["name"], found["scopes"], bytes.fromhex(found["sha256"])
            is_sound = isinstance(name, str) and set(scopes) <= set(SCOPES) and len(digest) == 32
        except (ValueError, TypeError, LookupError, RecursionError):
            is_sound = False
        if not is_sound:
            raise ConfigError(
                f'{where}: expected {{"name": ..., "scopes": [...], "sha256": ...}}, got another '
                "line; make keys with recsys serve --new-key NAME --keys FILE"
            )
        return cls(name, frozenset(scopes), digest)


@dataclass(frozen=True)
class Keys:
    """The keys that are valid."""

    keys: tuple[Key, ...]

    @classmethod
    def read(cls, path: str | Path) -> Self:
        """Read a file of keys; a ConfigError if it is none, or has none."""
        try:
            data = Path(path).read_bytes()[: _MOST_BYTES + 1]
            lines = data.decode().splitlines() if len(data) <= _MOST_BYTES else []
        except (OSError, UnicodeDecodeError) as error:
            reason = getattr(error, "strerror", None) or error
            raise ConfigError(
                f"service.keys: expected a file of keys at {path}, got {reason}; make one with "
                "recsys serve --new-key NAME --keys FILE"
            ) from error
        numbered = [(number, line) for number, line in enumerate(lines, 1) if line.strip()]
        if not numbered:
            raise ConfigError(f"service.keys: expected one key or more in {path}, got none")
        where = f"service.keys: {path}"
        return cls(tuple(Key.of(line, f"{where}, line {number}") for number, line in numbered))

    def find(self, presented: bytes) -> Key | None:
        """Return a key, None for one that is not valid.

        Every digest is compared, each in constant time: how long it takes tells nothing.
        """
        digest, found = sha256(presented).digest(), None
        for key in self.keys:
            if compare_digest(key.digest, digest):
                found = key
        return found


def new_key(path: str | Path, name: str, scopes: tuple[str, ...] = ("read",)) -> str:
    """Make a key and add its hash to a file, which only its owner may read.

    Returns
    -------
    str
        The key, which is kept nowhere.

    Raises
    ------
    ConfigError
        If there is no such scope, or the file holds something else.
    """
    if not name or not scopes or not set(scopes) <= set(SCOPES):
        raise ConfigError(
            f"--new-key: expected a name and scopes of {', '.join(SCOPES)}, "
            f"got {briefly(name)} with "
            f"{', '.join(scopes) or 'none'}"
        )
    path = Path(path)
    if path.exists() and path.stat().st_size:
        Keys.read(path)
    key = _PREFIX + secrets.token_urlsafe(32)
    digest = sha256(key.encode()).hexdigest()
    line = json.dumps({"name": name, "scopes": sorted(set(scopes)), "sha256": digest})
    try:
        descriptor = os.open(path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(line + "\n")
            file.flush()
            os.fsync(file.fileno())
    except OSError as error:
        raise ConfigError(
            f"--keys: expected a file to add a key to at {path}, got {error.strerror or error}"
        ) from error
    return key
