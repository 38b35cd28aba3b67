"""Whether the service would start, and what is wrong: looked at before anything listens."""

import errno
import os
import socket
import stat
import time
import warnings
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from multiprocessing import get_context
from pathlib import Path
from typing import Any, TypeVar

from recsys.base.environment import extra, missing_package, usable_cores
from recsys.base.errors import ConfigError, EventsError, RecsysError, briefly
from recsys.base.event_settings import EventSettings
from recsys.base.rule_settings import NO_RULES, RuleSettings
from recsys.base.service_settings import ServiceSettings
from recsys.events import open_events
from recsys.events.database import path_of
from recsys.service.certificate import certificate_until, days_until
from recsys.service.keys import Keys
from recsys.service.traces import require_telemetry
from recsys.serving import Recommender, store_path
from recsys.serving.open import open_content
from recsys.store import Content, current_or_none, versions
from recsys.store.remote import remote_of

_Found = TypeVar("_Found")
_FREED_SECONDS = 3.0
_FEW_DAYS = 14  # of a certificate


@dataclass(frozen=True)
class Finding:
    """What was looked at and what was found: an error keeps the service from starting."""

    subject: str
    detail: str
    level: str = "ok"  # or "warning", or "error"
    error: RecsysError | None = None


@dataclass(frozen=True)
class StartCheck:
    """What `check` finds.

    Attributes
    ----------
    version : str or None
        The version that would be served.
    """

    url: str
    version: str | None
    findings: tuple[Finding, ...]

    @property
    def error(self) -> RecsysError | None:
        """The first error, which keeps the service from starting."""
        return next((one.error for one in self.findings if one.error is not None), None)

    def to_dict(self) -> dict[str, Any]:
        """Return it in plain types."""
        found = [
            {"subject": one.subject, "level": one.level, "detail": one.detail}
            for one in self.findings
        ]
        would_start = self.error is None
        return {
            "would_start": would_start,
            "version": self.version,
            "url": self.url,
            "findings": found,
        }


def check(
    store: str | Path | None,
    settings: ServiceSettings,
    events: EventSettings | None = None,
    rules: RuleSettings = NO_RULES,
) -> StartCheck:
    """Look at all that the service needs to start; no file is changed, and nothing listens."""
    findings, folder = list(of_settings(settings)), store_path(store)
    content: list[Content] = []
    findings += _looked("store", lambda: _of_store(folder, settings, content))
    if rules and content:
        findings += _looked("rules", lambda: _of_rules(content[0], rules))
    findings += _looked("events", lambda: _of_events(folder, events or EventSettings()))
    version = content[0].version.name if content else None
    return StartCheck(settings.url, version, tuple(findings))


def before_fork(look: Callable[[Path], _Found], store: Path) -> _Found:
    """Return what a look at a store finds, in a process of its own where that is at an address.

    Workers are forks, and what talks to a bucket has threads, which a fork loses.
    """
    if remote_of(store) is None:
        return look(store)
    with ProcessPoolExecutor(1, get_context("spawn")) as process:
        return process.submit(look, store).result()


def require_startable(settings: ServiceSettings) -> None:
    """Raise the first error in the settings."""
    for one in of_settings(settings):
        if one.error is not None:
            raise one.error


def of_settings(settings: ServiceSettings) -> list[Finding]:
    """Look at what the settings name."""
    looks: tuple[tuple[str, Callable[[ServiceSettings], list[Finding]]], ...] = (
        ("server", _of_server),
        ("address", _of_address),
        ("keys", _of_keys),
        ("certificate", _of_certificate),
        ("telemetry", _of_telemetry),
        ("explorer", _of_explorer),
    )
    return [one for subject, look in looks for one in _looked(subject, partial(look, settings))]


def _looked(subject: str, look: Callable[[], list[Finding]]) -> list[Finding]:
    try:
        return look()
    except RecsysError as error:
        return [Finding(subject, str(error), "error", error)]


def _of_server(settings: ServiceSettings) -> list[Finding]:
    try:
        import granian
    except ImportError as error:
        raise missing_package("serve", "granian", extra("serve")) from error
    cores, workers = usable_cores(), settings.workers
    if workers > cores:
        detail = f"service.workers: {workers} workers share {cores} cores"
        return [Finding("server", detail, "warning")]
    detail = f"Granian {granian.__version__}; workers: {workers}, cores: {cores}"
    return [Finding("server", detail)]


def _of_address(settings: ServiceSettings) -> list[Finding]:
    settings.require_safe()
    address = address_of(settings)
    return [Finding("address", f"{address}:{settings.port} can be listened to")]


def address_of(settings: ServiceSettings) -> str:
    """Return the address of the host, which can be listened to; a ConfigError says why not."""
    try:
        family, _, _, _, where = socket.getaddrinfo(
            settings.host, settings.port, type=socket.SOCK_STREAM, flags=socket.AI_PASSIVE
        )[0]
        with socket.socket(family) as tried:
            # A server that is being restarted leaves connections; another one that listens is an
            # error, though the system would share the port between both.
            tried.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            tried.bind(where)
    except (OSError, UnicodeError) as error:
        reason = getattr(error, "strerror", None) or error
        raise ConfigError(
            f"service.host, service.port: expected an address of this machine that is free, got "
            f"{briefly(settings.host)} and {settings.port}: {reason}"
        ) from error
    return str(where[0])


def wait_for_address(settings: ServiceSettings) -> None:
    """Wait a moment where the address is taken: workers of a service that was killed still end."""
    end = time.monotonic() + _FREED_SECONDS
    while time.monotonic() < end:
        try:
            address_of(settings)
        except ConfigError as error:
            if getattr(error.__cause__, "errno", None) == errno.EADDRINUSE:
                time.sleep(0.1)
                continue
        return


def _of_keys(settings: ServiceSettings) -> list[Finding]:
    if settings.keys is None:
        return [Finding("keys", "none: whoever reaches the address may ask")]
    found = Keys.read(settings.keys).keys
    counts = Counter(scope for key in found for scope in key.scopes)
    shown = ", ".join(f"{scope} {n}" for scope, n in sorted(counts.items()))
    findings = [Finding("keys", f"{len(found)} in {settings.keys}: {shown}")]
    if "operate" not in counts:
        detail = "none has the scope operate: /metrics answers nobody"
        findings.append(Finding("keys", detail, "warning"))
    if Path(settings.keys).stat().st_mode & (stat.S_IWGRP | stat.S_IWOTH):
        detail = f"others may write to {settings.keys}, and so make keys; chmod 600 it"
        findings.append(Finding("keys", detail, "warning"))
    return findings


def _of_certificate(settings: ServiceSettings) -> list[Finding]:
    if settings.tls_certificate is None or settings.tls_key is None:
        if settings.is_local:
            return []
        detail = "none: keys and answers cross the network in plain text, unless a proxy has one"
        return [Finding("certificate", detail, "warning")]
    days = days_until(certificate_until(settings.tls_certificate, settings.tls_key))
    level = "warning" if days < _FEW_DAYS else "ok"
    return [Finding("certificate", f"valid for {days} more days", level)]


def _of_telemetry(settings: ServiceSettings) -> list[Finding]:
    if settings.telemetry is None:
        return []
    require_telemetry()
    detail = f"traces of {settings.telemetry_share:g} of the requests go to {settings.telemetry}"
    return [Finding("telemetry", detail)]


def _of_explorer(settings: ServiceSettings) -> list[Finding]:
    if not settings.explore:
        return []
    detail = "/explore: who may read may also list users, and ask every version of the store"
    return [Finding("explorer", detail, "ok" if settings.keys is None else "warning")]


def _of_store(store: Path, settings: ServiceSettings, content: list[Content]) -> list[Finding]:
    versions(store)
    if current_or_none(store) is None:
        detail = "no current version: it would start, and not be ready until one is published"
        return [Finding("store", detail, "warning")]
    with _warnings() as caught:
        opened = open_content(store)
    content.append(opened)
    damaged = _found(caught, "store")
    manifest = opened.version.manifest
    detail = (
        f"version {opened.version.name}: {manifest.n_users:,} users, {manifest.n_items:,} items"
    )
    return [*damaged, Finding("store", detail), *_of_columns(settings, opened)]


@contextmanager
def _warnings() -> Iterator[list[warnings.WarningMessage]]:
    """Collect the warnings of a block."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always", RuntimeWarning)
        yield caught


def _found(caught: Sequence[warnings.WarningMessage], subject: str) -> list[Finding]:
    return [Finding(subject, str(one.message), "warning") for one in caught]


def _of_rules(content: Content, rules: RuleSettings) -> list[Finding]:
    with _warnings() as caught:
        Recommender(content, rules)  # which refuses what the version does not have
    return [*_found(caught, "rules"), Finding("rules", "the version has what they name")]


def _of_columns(settings: ServiceSettings, content: Content) -> list[Finding]:
    if not settings.where_columns:
        return []
    table = content.attributes
    known = set() if table is None else set(table.column_names)
    lacking = [column for column in settings.where_columns if column not in known]
    if not lacking:
        return []
    detail = f"service.where_columns: the version has no column {', '.join(lacking)}"
    return [Finding("store", detail, "warning")]


def _of_events(store: Path, settings: EventSettings) -> list[Finding]:
    if not settings.enabled:
        return [Finding("events", "none are taken")]
    try:
        return [Finding("events", _database_of(store, settings))]
    except EventsError as error:
        return [Finding("events", f"{error}; lists would go on", "warning")]


def _database_of(store: Path, settings: EventSettings) -> str:
    """Return what a database of events is, after a look into it."""
    path = path_of(store, settings)
    if settings.is_remote or path.exists():
        open_events(store, settings, create=False).close()
        return "kept in PostgreSQL" if settings.is_remote else f"kept in {path}"
    if path.with_name(f"{path.name}-lock").exists():
        raise EventsError(
            f"{path}: expected the database that was there, got none; put it back from a backup, "
            "as a service that starts makes an empty one"
        )
    folder = next(one for one in path.absolute().parents if one.exists())
    if not os.access(folder, os.W_OK):
        raise EventsError(f"{path}: expected a folder that can be written, got {folder}")
    return f"to be kept in {path}"
