"""A database of events that neither answers nor refuses: lists go on without it."""

from collections.abc import Callable
from pathlib import Path
from threading import Event as ThreadEvent

import psycopg
import pytest

from recsys.base.event_settings import EventSettings
from recsys.base.service_settings import ServiceSettings
from recsys.errors import EventsError
from recsys.service import Service, live
from recsys.service.patience import Patience
from recsys.settings import IndexSettings
from recsys.store import publish
from tests.events.servers import Server
from tests.service.asking import Answered, get, post
from tests.service.conftest import release

LIST = "/v1/users/u1/recommendations"


def test_whoever_comes_after_a_question_that_hangs_is_answered_at_once() -> None:
    asking, back, asked = Patience("test", 0.01), ThreadEvent(), []
    with pytest.raises(EventsError, match=r"within 0\.01 seconds"):
        asking.ask(back.wait)
    with pytest.raises(EventsError, match="still does not answer"):
        asking.ask(lambda: asked.append(1))
    back.set()
    while asking._stuck is not None and not asking._stuck.done():
        pass
    assert Patience("test", 60).ask(lambda: 7) == 7
    assert asking.ask(lambda: 7) == 7
    assert not asked
    asking.stop()


def until(wanted: str, ask: Callable[[], Answered]) -> None:
    while (answer := ask()).json()["source"] != wanted:
        assert answer.status == 200


def test_lists_go_on_while_the_database_hangs(
    server: Server, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    publish(tmp_path, release(), IndexSettings(kind="exact"))
    events = EventSettings(database=server.address)
    monkeypatch.setattr(live, "_LOST_SECONDS", 0.0)
    settings = ServiceSettings(max_seconds=6.0)  # the server itself gives up after 8
    service = Service(tmp_path, settings, events=events).open()
    assert post(service, "/v1/events", {"user_id": "u1", "item_id": "i7"}).status == 200
    assert get(service, LIST).json()["source"] == "fold_in"
    with psycopg.connect(server.address) as other:
        other.execute("LOCK TABLE recsys_events, recsys_about IN ACCESS EXCLUSIVE MODE")
        for _ in range(4):  # more than there are threads
            assert get(service, LIST).json()["source"] == "personal"
        assert get(service, LIST, where="price < 9").status == 200
        assert get(service, "/v1/items/i7/similar").status == 200
    until("fold_in", lambda: get(service, LIST))
    service.live.stop()
