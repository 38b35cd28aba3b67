"""Who may ask, and how much: the sizes of a request, its key, and its rate."""

import logging
from functools import lru_cache
from ipaddress import ip_address
from math import ceil
from pathlib import Path
from urllib.parse import urlsplit

from recsys.base.durable import signature_of
from recsys.base.service_settings import ServiceSettings
from recsys.service.keys import Keys
from recsys.service.messages import Headers, Scope
from recsys.service.problems import ProblemError
from recsys.service.rate import Rate
from recsys.service.routes import Route

log = logging.getLogger("recsys.service")


_MOST_HOSTS = 64  # kept


class Hosts:
    """The names by which a service without keys is asked.

    A page of a stranger can give its own name the address of this machine (DNS rebinding): to the
    browser of whoever looks at it the service is then a part of that page, which may read it all.
    """

    def __init__(self, settings: ServiceSettings) -> None:
        self._names = {one.lower() for one in ("localhost", settings.host, *settings.hosts)}
        self._is_known = lru_cache(_MOST_HOSTS)(self._look)

    def require(self, headers: Headers) -> None:
        """Raise a problem for a request by another name; an address is no name."""
        host = headers.get(b"host")
        if host is not None and not self._is_known(host):
            raise ProblemError(
                "other_host",
                "expected to be asked as localhost, by an address, or by a name of service.hosts; "
                "or set service.keys",
            )

    def _look(self, host: bytes) -> bool:
        try:
            name = (urlsplit(f"//{host.decode('ascii')}").hostname or "").removesuffix(".")
        except ValueError:
            return False
        try:
            return name in self._names or bool(ip_address(name))
        except ValueError:
            return False


class Admission:
    """Turns away requests that are too large, have no key that allows them, or come too often.

    Parameters
    ----------
    settings : ServiceSettings
        A ConfigError is raised where their keys cannot be read.
    folder : path, optional
        What the workers share, for their rates.
    """

    def __init__(self, settings: ServiceSettings, folder: Path | None = None) -> None:
        self._settings = settings
        self._signature: list[int] | None = None
        self._keys: Keys | None = None
        self.refresh()
        # What it is mounted in has names of its own, and no folder.
        is_open = settings.keys is None and folder is not None
        self._hosts = Hosts(settings) if is_open else None
        per_second = settings.max_per_second
        self._rate = None if per_second is None else Rate(per_second, folder)

    def refresh(self) -> None:
        """Read the keys again where their file was replaced."""
        if self._settings.keys is None:
            return
        signature = signature_of(Path(self._settings.keys))
        if self._keys is not None and signature == self._signature:
            return
        self._signature = signature
        self._keys = Keys.read(self._settings.keys)

    def require_sizes(self, scope: Scope) -> None:
        """Raise a problem for a path and query, or a header, that is too long."""
        settings = self._settings
        if len(scope["raw_path"]) + len(scope["query_string"]) > settings.max_target_bytes:
            raise ProblemError(
                "too_long_a_target",
                f"expected at most {settings.max_target_bytes:,} bytes of path and query "
                "(service.max_target_bytes), got more; send long ids in the body of a POST",
            )
        n_bytes = 0
        for name, value in scope["headers"]:
            n_bytes += len(name) + len(value)
        if n_bytes > settings.max_header_bytes:
            raise ProblemError(
                "too_large_a_header",
                f"the header: expected at most {settings.max_header_bytes:,} bytes "
                f"(service.max_header_bytes), got {n_bytes:,}",
            )

    def require_key(self, route: Route, headers: Headers) -> None:
        """Raise a problem where there is no key for a route, or it comes too often."""
        if route.scope is None:
            return
        if self._keys is None:
            if self._hosts is not None:
                self._hosts.require(headers)
            self._require_rate("")
            return
        kind, _, presented = headers.get(b"authorization", b"").partition(b" ")
        if kind.lower() != b"bearer":
            presented = headers.get(b"x-api-key", b"")
        key = self._keys.find(presented.strip())
        if key is None:
            challenge = ((b"www-authenticate", b'Bearer realm="recsys"'),)
            raise ProblemError("no_key", "send a key as Authorization: Bearer KEY", challenge)
        if route.scope not in key.scopes:
            raise ProblemError("no_scope", f"expected a key of scope {route.scope}")
        self._require_rate(key.name)

    def _require_rate(self, name: str) -> None:
        seconds = 0.0 if self._rate is None else self._rate.seconds_to_wait(name)
        if seconds:
            if self._settings.log_requests != "none":
                log.warning("over its rate", extra={"facts": {"key": name or None}})
            wait = ((b"retry-after", b"%d" % ceil(seconds)),)
            detail = f"expected at most {self._settings.max_per_second:g} requests a second"
            raise ProblemError("too_many", detail, wait)
