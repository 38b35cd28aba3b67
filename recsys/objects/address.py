"""The address of objects, and where copies of them are kept on this machine."""

import hashlib
import os
import re
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote

from recsys.base.errors import ConfigError

CACHE = "RECSYS_CACHE"
"""The environment variable of the folder of local copies."""

_ADDRESS = re.compile(r"(s3a?|gs|abfss?|az)://?([^/]*)/?(.*)", re.DOTALL)
_ENDPOINTS = {
    "s3": ("AWS_ENDPOINT_URL_S3", "AWS_ENDPOINT_URL", "AWS_ENDPOINT"),
    "gs": ("GOOGLE_BASE_URL",),
    "abfs": ("AZURE_STORAGE_ENDPOINT", "AZURE_ENDPOINT"),
}
_KIND = {"s3": "s3", "s3a": "s3", "gs": "gs", "abfs": "abfs", "abfss": "abfs", "az": "abfs"}
_WILD = re.compile(r"[*?\[]")


@dataclass(frozen=True)
class ObjectAddress:
    """Where objects are: all below a key, one, or those that a pattern matches.

    Parameters
    ----------
    scheme : str
        As it was given.
    bucket : str
        Of Azure the container, perhaps as ``container@account.dfs.core.windows.net``.
    key : str
        Without slashes at its ends; empty for the whole bucket.
    """

    scheme: str
    bucket: str
    key: str

    @property
    def kind(self) -> str:
        """The service: "s3", "gs" or "abfs"."""
        return _KIND[self.scheme]

    @property
    def root(self) -> str:
        """The address of the bucket."""
        return f"{self.scheme}://{self.bucket}"

    @property
    def endpoint(self) -> str | None:
        """Where the service is, if the environment names another than the provider's own."""
        named = (os.environ.get(name) for name in _ENDPOINTS[self.kind])
        return next(filter(None, named), None)

    @property
    def fixed_key(self) -> str:
        """The key up to the folder in which a pattern begins; all of it where there is none."""
        wild = _WILD.search(self.key)
        return self.key if wild is None else self.key[: wild.start()].rpartition("/")[0]

    @property
    def is_pattern(self) -> bool:
        """Whether it has a wildcard."""
        return _WILD.search(self.key) is not None

    def below(self, key: str) -> "ObjectAddress":
        """Return the address of what is below this one."""
        return ObjectAddress(self.scheme, self.bucket, f"{self.key}/{key}".strip("/"))

    def cached_in(self, what: str) -> Path:
        """Return the folder that holds local copies of the bucket: of "logs", or of "stores"."""
        endpoint = self.endpoint
        mark = "" if endpoint is None else f"-{hashlib.sha256(endpoint.encode()).hexdigest()[:8]}"
        return cache_folder() / what / f"{self.kind}{mark}" / quote(self.bucket, safe="@.-_")

    def __str__(self) -> str:
        return f"{self.root}/{self.key}".rstrip("/")


def object_address(place: object) -> ObjectAddress | None:
    """Return the address of objects, None for what is none, such as a path.

    A `Path` that was made of one, which has lost a slash, is one as well.

    Examples
    --------
    >>> from pathlib import Path
    >>> print(object_address(Path("s3://shop/store/")))
    s3://shop/store
    >>> object_address("store") is None
    True
    """
    if not isinstance(place, str | Path):
        return None
    found = _ADDRESS.fullmatch(str(place))
    if found is None:
        return None
    scheme, bucket, key = found.groups()
    names = [name for name in key.split("/") if name]
    if not bucket or {".", ".."} & set(names):
        raise ConfigError(
            f"{place}: expected an address such as s3://bucket/folder, got one without a bucket, "
            "or with . or .. among its names"
        )
    return ObjectAddress(scheme, bucket, "/".join(names))


def shown(place: str | Path) -> str:
    """Return how a place is shown: an address with both of its slashes, a path as it is."""
    address = object_address(place)
    return str(place) if address is None else str(address)


_of_config: str | None = None


def use_cache(folder: str | Path | None) -> None:
    """Keep local copies in the folder that settings name, unless the environment has another.

    Who opens a log or a store by settings calls it first. Processes that this one starts keep their
    copies there, too. Where the settings name none, nothing changes.
    """
    global _of_config
    if folder is not None and os.environ.get(CACHE) in (None, "", _of_config):
        os.environ[CACHE] = _of_config = str(Path(folder).expanduser().absolute())


def cache_folder() -> Path:
    """Return the folder of local copies: $RECSYS_CACHE, else recsys in the user's cache folder."""
    if given := os.environ.get(CACHE):
        return Path(given).expanduser().absolute()
    home = os.environ.get("XDG_CACHE_HOME") or "~/.cache"
    return Path(home).expanduser().absolute() / "recsys"
