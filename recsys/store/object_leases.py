"""Leases of versions in a bucket: objects that are written again while their process lives.

A lease holds by the time at which it was written last, by the clock of the service, so the clocks
of machines do not matter. That of a process which was killed runs out.
"""

import os
import secrets
import socket
import threading
import time
import weakref
from contextlib import suppress

from recsys.base.errors import RecsysError
from recsys.objects import Bucket

LEASES = "leases"
LEASE_SECONDS = 300.0
"""After which a lease that is not renewed holds no more."""
RENEWED_SECONDS = 60.0

_held: dict[str, Bucket] = {}  # by the key of the lease
_thread: threading.Thread | None = None
_lock = threading.Lock()


class ObjectLease:
    """Keeps a version in a bucket from being pruned while it lives."""

    def __init__(self, bucket: Bucket, name: str) -> None:
        holder = f"{socket.gethostname()}-{os.getpid()}-{secrets.token_hex(4)}"
        key = f"{LEASES}/{name}/{holder}"
        bucket.put(key, b"")
        with _lock:
            _held[key] = bucket
        _renew_from_a_thread()
        self.close = weakref.finalize(self, _released, bucket, key)


def _released(bucket: Bucket, key: str) -> None:
    with _lock:
        _held.pop(key, None)
    with suppress(RecsysError):  # it runs out by itself
        bucket.delete([key])


def renew() -> None:
    """Write all leases of this process again."""
    for key, bucket in list(_held.items()):
        with suppress(RecsysError):  # the next time, perhaps
            bucket.put(key, b"")
            if key not in _held:  # given back meanwhile
                bucket.delete([key])


def _renew_from_a_thread() -> None:
    global _thread
    with _lock:
        if _thread is None or not _thread.is_alive():
            _thread = threading.Thread(target=_renew_always, name="recsys-leases", daemon=True)
            _thread.start()


def _renew_always() -> None:
    while True:
        time.sleep(RENEWED_SECONDS)
        renew()
