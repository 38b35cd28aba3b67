"""SIGKILL while events stream: what was acknowledged is there, once, whoever was killed when."""

import json
import os
import shutil
import signal
from collections import Counter
from contextlib import closing
from http.client import HTTPException
from itertools import count
from pathlib import Path
from threading import Event, Thread

import pytest

from recsys.events import EventSettings, open_events
from tests.service.servers import Server, serving

pytest.importorskip("granian", reason="make install brings what serves")

N_CALLERS, N_KILLS, ENOUGH = 3, 3, 30  # events that a caller has sent between two kills, at least


class Caller(Thread):
    """Sends one event after the other, each until it is acknowledged, with one id."""

    def __init__(self, number: int, server: Server) -> None:
        super().__init__()
        self.user, self.server, self.over = f"caller {number}", server, Event()
        self.acknowledged: list[str] = []

    def run(self) -> None:
        for number in count():
            while not self.over.is_set():
                if self._send(f"{number}"):
                    self.acknowledged.append(f"{number}")
                    break
            if self.over.is_set():
                return

    def _send(self, item: str) -> bool:
        event = {"user_id": self.user, "item_id": item, "event_id": f"{self.user} {item}"}
        try:
            with closing(self.server.connect()) as connection:
                headers = {"content-type": "application/json"}
                connection.request("POST", "/v1/events", json.dumps(event), headers)
                answer = connection.getresponse()
                answer.read()
                return answer.status == 200
        except (OSError, HTTPException):
            return False


def wait_for(callers: list[Caller], n_events: int) -> None:
    """Wait until each has so many events acknowledged."""
    callers[0].server.wait_until(lambda: min(len(one.acknowledged) for one in callers) >= n_events)


def live_and_die(place: Path, names: range) -> list[Caller]:
    """Serve, lose a worker now and then, and all processes at once in the end."""
    with serving("--store", place, "--workers", 2) as server:
        callers = [Caller(number, server) for number in names]
        for caller in callers:
            caller.start()
        for kill in range(1, N_KILLS):
            wait_for(callers, kill * ENOUGH)
            os.kill(server.workers[0], signal.SIGKILL)
        wait_for(callers, N_KILLS * ENOUGH)
        for pid in (server.process.pid, *server.workers):
            os.kill(pid, signal.SIGKILL)
        for caller in callers:
            caller.over.set()
        for caller in callers:
            caller.join()
    return callers


def test_no_acknowledged_event_is_lost_or_doubled(store: Path, tmp_path: Path) -> None:
    place = shutil.copytree(store, tmp_path / "store")
    callers = live_and_die(place, range(N_CALLERS))
    callers += live_and_die(place, range(N_CALLERS, 2 * N_CALLERS))  # with the files of the first
    acknowledged = {(one.user, item) for one in callers for item in one.acknowledged}
    database = open_events(place, EventSettings())
    kept = Counter((one.user_id, one.item_id) for one in database.changes(0).kept)
    database.close()
    assert acknowledged <= set(kept)
    assert set(kept.values()) == {1}
    assert len(acknowledged) >= 2 * N_CALLERS * N_KILLS * ENOUGH
    assert len(kept) <= len(acknowledged) + len(callers)  # whose last answer did not arrive
