"""The processes that listen: Granian over the ASGI application, a worker or several."""

import gc
import logging
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import replace
from functools import partial
from multiprocessing import Pipe
from multiprocessing.connection import Connection
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Self

from recsys.base.errors import ConfigError, EventsError, UnreadableError
from recsys.base.event_settings import EventSettings
from recsys.base.rule_settings import RuleSettings
from recsys.base.service_settings import ServiceSettings
from recsys.base.stopping import check_stop
from recsys.events import open_events
from recsys.service.app import Service
from recsys.service.certificate import certificate_until
from recsys.service.log_lines import config_of, write_from_a_thread
from recsys.service.refresher import Refresher
from recsys.service.startup import (
    address_of,
    before_fork,
    require_startable,
    wait_for_address,
)
from recsys.serving import store_path
from recsys.store import current_or_none, shown_store, versions
from recsys.store.remote import remote_of

log = logging.getLogger("recsys.service")

_SWITCH_SECONDS = 0.0005  # a plain list waits so long for a thread that computes; default: 0.005
_LOOK_SECONDS = 1.0
_HEADER_MILLISECONDS = 10_000  # for the whole header of a request to arrive
_STOP_SECONDS = 20  # for what is running to end, after which a worker is killed
_STARTED, _STOPPED = b"started", b"stopped"


def serve(
    store: str | Path | None = None,
    settings: ServiceSettings | None = None,
    *,
    refresh: Sequence[str] = (),
    events: EventSettings | None = None,
    rules: RuleSettings | None = None,
    on_start: Callable[[], None] | None = None,
) -> None:
    """Serve the current version of a store over HTTP until SIGTERM or SIGINT.

    Parameters
    ----------
    store : path, optional
        Default: $RECSYS_STORE, else ./store.
    settings : ServiceSettings, optional
    refresh : sequence of str
        Arguments of `recsys` that refresh the store every ``service.refresh_minutes``.
    events : EventSettings, optional
    rules : RuleSettings, optional
        What holds for every list.
    on_start : callable, optional
        Called, in a thread, when the first worker can answer.

    Raises
    ------
    ConfigError
        If a setting cannot be used; `check` finds the same errors.
    StoreError
        If there is no store.
    """
    settings = settings or ServiceSettings()
    wait_for_address(settings)
    require_startable(settings)
    folder = store_path(store).absolute()
    # A StoreError where there is no store: a name with a slip of the pen.
    is_empty = before_fork(_is_without_current, folder)
    if settings.keys is not None:
        settings = replace(settings, keys=os.fspath(Path(settings.keys).absolute()))
    server = _server(settings)
    server.on_startup(check_stop)  # for a signal of before Granian listened to them
    if is_empty:
        log.warning("no current version: not ready until one is published")

    def can_answer() -> None:
        facts = {"store": shown_store(folder), "url": settings.url, "workers": settings.workers}
        log.info("listening", extra={"facts": facts})
        if on_start is not None:
            on_start()

    _prepare_events(folder, events or EventSettings())
    signal.set_wakeup_fd(-1)  # Granian waits for what is running, however often it is asked to stop
    with TemporaryDirectory(prefix="recsys-service-") as counters, ExitStack() as held:
        if settings.refresh_minutes is not None and refresh:
            held.enter_context(Refresher(refresh, settings.refresh_minutes, Path(counters)))
        started = held.enter_context(_FirstStart(can_answer)).worker
        make = partial(Service, folder, settings, Path(counters), events, rules=rules)
        server.serve(target_loader=_Loader(make, started), wrap_loader=False)


def _is_without_current(store: Path) -> bool:
    try:
        versions(store)
    except UnreadableError:
        remote = remote_of(store)
        if remote is None or remote.copies.last_known is None:
            raise
        return False  # the copy of what was current last is served
    return current_or_none(store) is None


def _prepare_events(store: Path, settings: EventSettings) -> None:
    """Make the database of events, so that each worker has it open before the first event."""
    if settings.enabled:
        try:
            open_events(store, settings).close()
        except EventsError as error:
            log.warning("cannot keep events: %s", error)


class _FirstStart:
    """Calls when the first worker can answer, some seconds after the address is listened to.

    Attributes
    ----------
    worker : Connection
        To which each worker sends a message when it has started.
    """

    def __init__(self, call: Callable[[], None]) -> None:
        self._received, self.worker = Pipe(duplex=False)
        self._call = call
        self._thread = threading.Thread(target=self._listen, daemon=True)

    def __enter__(self) -> Self:
        self._thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self.worker.send_bytes(_STOPPED)  # after those of the workers, so none goes unheard
        self._thread.join()

    def _listen(self) -> None:
        has_called = False
        while self._received.recv_bytes() != _STOPPED:
            if not has_called:
                self._call()
            has_called = True


class _Loader:
    """Makes the application in each worker, which sends a message when it has started."""

    def __init__(self, make: Any, started: Connection) -> None:
        self._make, self._started = make, started

    def __call__(self, *_: object) -> Service:
        signal.signal(signal.SIGTERM, signal.SIG_DFL)  # until Granian listens to it
        write_from_a_thread()
        sys.setswitchinterval(_SWITCH_SECONDS)
        threading.Thread(target=_end_with, args=(os.getppid(),), daemon=True).start()
        on_start = partial(self._started.send_bytes, _STARTED)
        service: Service = self._make(on_open=_set_objects_aside, on_start=on_start)
        return service


def _set_objects_aside() -> None:
    """Take all objects that there are now out of what Python's garbage collector looks through.

    Those of the modules and of a version stay: to look through them takes some 80 ms, in which
    nothing is answered. What became garbage since the last version is collected before.
    """
    if gc.get_freeze_count():
        gc.unfreeze()
        gc.collect()
    gc.freeze()


def _end_with(parent: int) -> None:
    """End this worker when the process that started it is gone: nobody would replace or stop it."""
    while os.getppid() == parent:
        time.sleep(_LOOK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)


def _server(settings: ServiceSettings) -> Any:
    import granian
    from granian.constants import HTTPModes, Interfaces, RuntimeModes
    from granian.http import HTTP1Settings
    from granian.log import LogLevels

    pair = [Path(one).absolute() for one in (settings.tls_certificate, settings.tls_key) if one]
    certificate, key = pair or (None, None)
    server = granian.Granian(
        "recsys.service",
        address=address_of(settings),
        port=settings.port,
        interface=Interfaces.ASGI,
        workers=settings.workers,
        runtime_mode=RuntimeModes.mt,
        websockets=False,
        http=HTTPModes.http1,  # what of HTTP/2 can be made long, no setting of ours bounds
        http1_settings=HTTP1Settings(header_read_timeout=_HEADER_MILLISECONDS),
        ssl_cert=certificate,
        ssl_key=key,
        respawn_failed_workers=True,
        respawn_interval=0.5,
        workers_kill_timeout=_STOP_SECONDS,
        log_level=LogLevels.warning,
        log_dictconfig=config_of(settings),
    )
    _replace_workers_on_hangup(server, *pair)
    return server


def _replace_workers_on_hangup(server: Any, *pair: Path) -> None:
    """Let SIGHUP replace the workers one by one, which read the certificate as it is by then."""
    replace_workers = server.signal_handler_reload
    if pair:  # Granian has followed symlinks, which a renewal turns to another file
        server.ssl_ctx = (True, *map(str, pair), *server.ssl_ctx[3:])

    def handle(*_: object) -> None:
        try:
            if pair:
                certificate_until(*pair)
        except ConfigError as error:
            log.error("the workers and their certificate stay: %s", error)
        else:
            log.info("replacing the workers")
            replace_workers()

    server.signal_handler_reload = handle
