"""Where requests go, with what, and what comes back: the same for both clients."""

import os
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from recsys.base.checks import require
from recsys.base.environment import extra, missing_package
from recsys.base.errors import ConfigError, briefly
from recsys.client.attempts import Answer, Attempts
from recsys.client.failures import unreached
from recsys.client.requests import Ask

if TYPE_CHECKING:
    import httpx

_DEFAULT_URL = "http://127.0.0.1:8000"
_URL, _KEY = "RECSYS_URL", "RECSYS_KEY"


@dataclass(frozen=True)
class Connection:
    """A service, and how it is asked."""

    url: str
    key: str | None = field(repr=False)
    timeout: float
    attempts: Attempts
    httpx: Any = field(repr=False)

    @classmethod
    def of(cls, url: str | None, key: str | None, timeout: float, retries: int) -> "Connection":
        """Check where to ask, and with what."""
        try:
            import httpx
        except ImportError as error:
            raise missing_package("client", "httpx", extra("client")) from error
        require("timeout", timeout, above=0)
        given = str(url or os.environ.get(_URL) or _DEFAULT_URL).rstrip("/")
        try:
            parsed = httpx.URL(given)
        except httpx.InvalidURL as error:
            raise _no_url(given) from error
        if parsed.scheme not in ("http", "https") or not parsed.host or parsed.query:
            raise _no_url(given)
        key = key or os.environ.get(_KEY) or None
        if key is not None and not (key.isascii() and key.isprintable()):
            raise ConfigError("key: expected printable ASCII, as recsys serve --new-key prints it")
        return cls(given, key, timeout, Attempts(retries), httpx)

    def request(self, ask: Ask) -> dict[str, Any]:
        """Return the arguments of `httpx.Client.request`."""
        headers = dict(ask.headers)
        if self.key is not None:
            headers["authorization"] = f"Bearer {self.key}"
        return {
            "method": ask.verb,
            "url": self.url + ask.target,
            "content": ask.body,
            "headers": headers,
        }

    def received(self, response: "httpx.Response") -> Answer:
        """Return what was received."""
        return Answer(response.status_code, response.headers, response.content)

    def seconds_to_wait(self, ask: Ask, number: int, outcome: Answer | Exception) -> float | None:
        """Return how long to wait after attempt `number`; None to leave it at that."""
        return None if ask.is_once else self.attempts.seconds_to_wait(number, outcome)

    def answer(self, outcome: Answer | Exception) -> Answer:
        """Return an answer; raise what there was in place of one."""
        if isinstance(outcome, Exception):
            raise unreached(self.url, self.timeout, outcome) from outcome
        return outcome


def _no_url(given: str) -> ConfigError:
    return ConfigError(
        f"url: expected an address such as {_DEFAULT_URL}, got {briefly(given)}; name it in "
        f"the call, or in ${_URL}"
    )
