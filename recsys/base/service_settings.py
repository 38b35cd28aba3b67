"""What the online service listens to, and what it lets a caller ask for; the [service] table."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from ipaddress import ip_address
from math import inf
from typing import Literal, get_args

from recsys.base.checks import require, require_types
from recsys.base.errors import ConfigError, briefly

LogFormat = Literal["auto", "json", "text"]
LogRequests = Literal["none", "problems", "all"]


@dataclass(frozen=True)
class ServiceSettings:
    """Where the service listens, who may ask, and for how much; the ``[service]`` table.

    Paths are like those of `DataSettings`.
    """

    host: str = "127.0.0.1"
    """The address to listen to. One that other machines reach needs `keys`."""
    port: int = 8000
    """Where it listens there."""
    workers: int = 1
    """Processes that answer; they share the pages of the version."""
    threads: int = 2
    """Threads of a worker for what takes longer than a plain list."""
    keys: str | None = None
    """The file of API keys. Default: none, and whoever reaches the address may ask."""
    tls_certificate: str | None = None
    """PEM file. With `tls_key`, the service speaks HTTPS."""
    tls_key: str | None = None
    """PEM file of the private key."""
    origins: Sequence[str] = field(default_factory=tuple)
    """Web pages that browsers let read the answers, such as "https://shop.example"."""
    hosts: Sequence[str] = field(default_factory=tuple)
    """Names by which the service is asked where it has no keys, beside localhost, addresses and its
    `host`: those that a proxy passes on. A page can give its own name the address of this machine,
    so that a browser takes the service for a part of it."""
    where_columns: Sequence[str] | None = None
    """The only columns of attributes that `where`, `max_per` and `column` may name."""
    max_k: int = 1_000
    """Longest list."""
    max_total_k: int = 10_000
    """Most items of a batch: the sum of its k."""
    max_ids: int = 10_000
    """Most ids in one argument."""
    max_body_bytes: int = 1 << 20
    """Of the body of a request."""
    max_target_bytes: int = 1 << 16
    """Of path and query: an id of 10 kB may take 30 kB, percent-encoded."""
    max_header_bytes: int = 1 << 14
    """Of all lines of a header."""
    max_per_second: float | None = None
    """Requests of one key, over all workers; without keys, of all together. Default: no limit."""
    max_seconds: float = 10.0
    """Longest time for the body to arrive, and for an answer to be made."""
    max_waiting: int = 64
    """Requests of a worker that run or wait in threads; more are answered 503."""
    max_turn_seconds: float = 0.003
    """Processor time for the plain lists that come at once; those after are answered 503."""
    poll_seconds: float = 1.0
    """How often a worker looks for a new current version and for changed keys."""
    refresh_minutes: float | None = None
    """How long after one refresh the next one begins: new users and items are folded in, as by
    `recsys refresh` with the same config. Default: never."""
    explore: bool = False
    """Answer under /explore with the explorer, a page on which a browser shows the lists of any
    user: who may read may then also list users, and ask for the lists of every version."""
    log_format: LogFormat = "auto"
    """Lines of the log, on stderr: "json", "text", or "auto", JSON unless that is a terminal."""
    log_requests: LogRequests = "problems"
    """Which answers are logged: "none", "problems" (429, 5xx, and slow ones), or "all"."""
    slow_seconds: float = 1.0
    """An answer that takes longer is logged as a problem is."""
    log_user_ids: bool = False
    """Log paths and queries, which hold the ids of users, and the messages of failures."""
    telemetry: str | None = None
    """URL of a collector of OpenTelemetry, such as "http://localhost:4318", that gets traces."""
    telemetry_share: float = 0.01
    """Share of the requests that are traced, where who asks has not decided that."""

    def __post_init__(self) -> None:
        require_types("service", self)
        require("service.port", self.port, least=0, at_most=65_535)
        at_least_one = ("workers", "threads", "max_k", "max_total_k", "max_ids", "max_waiting")
        for name in at_least_one:
            require(f"service.{name}", getattr(self, name), least=1)
        for name in ("max_body_bytes", "max_target_bytes", "max_header_bytes"):
            require(f"service.{name}", getattr(self, name), least=256)
        for name, choices in (("log_format", LogFormat), ("log_requests", LogRequests)):
            require(f"service.{name}", getattr(self, name), one_of=get_args(choices))
        for name in ("max_seconds", "max_turn_seconds", "poll_seconds", "slow_seconds"):
            require(f"service.{name}", getattr(self, name), above=0, below=inf)
        require("service.telemetry_share", self.telemetry_share, least=0, at_most=1)
        if self.telemetry is not None and not self.telemetry.startswith(("http://", "https://")):
            raise ConfigError(
                f"service.telemetry: expected an http URL, got {briefly(self.telemetry)}"
            )
        if self.refresh_minutes is not None:
            require("service.refresh_minutes", self.refresh_minutes, above=0, below=inf)
        if self.max_per_second is not None:
            require("service.max_per_second", self.max_per_second, above=0, below=inf)
        if (self.tls_certificate is None) != (self.tls_key is None):
            missing = "tls_key" if self.tls_key is None else "tls_certificate"
            raise ConfigError(
                f"service.{missing}: expected a PEM file, as its other half is given, got none"
            )

    @property
    def is_local(self) -> bool:
        """Whether only this machine reaches the address."""
        if self.host == "localhost":
            return True
        try:
            return ip_address(self.host).is_loopback
        except ValueError:  # a name, which may lead anywhere
            return False

    @property
    def url(self) -> str:
        """Where the service is found."""
        scheme = "http" if self.tls_certificate is None else "https"
        host = f"[{self.host}]" if ":" in self.host else self.host
        return f"{scheme}://{host}:{self.port}"

    def require_safe(self) -> None:
        """Raise a ConfigError for an address that others reach while no key is asked for."""
        if not self.is_local and self.keys is None:
            raise ConfigError(
                f"service.host: expected an address of this machine alone, such as 127.0.0.1, as "
                f"there are no keys, got {briefly(self.host)}; make a key "
                f"with recsys serve --new-key "
                "NAME --keys FILE, and name the file by --keys or service.keys"
            )
