"""Lines of the log: JSON with ids of requests and none of users, few of each, and no waiting."""

import asyncio
import json
import logging
import os
import threading

import pytest

from recsys.service import Service, ServiceSettings
from recsys.service.log_lines import FewASecond, FewOfEach, JsonLines, TextLines, WaitingLines
from tests.service.asking import ask, asked, get

LIST = "/v1/users/u42/recommendations"


def lines_of(caplog) -> list[dict]:
    return [json.loads(JsonLines().format(record)) for record in caplog.records]


def test_problems_are_logged_without_users_and_the_rest_is_not(store, caplog, monkeypatch) -> None:
    service = Service(store).open()
    assert get(service, LIST).status == 200
    assert get(service, "/v1/users/u42/explanations/never").status == 404
    assert caplog.records == []

    def broken(opened: object, user_id: str, *_: object) -> None:
        raise KeyError(user_id)

    monkeypatch.setattr(type(service.current.opened), "plain_list", broken)
    assert ask(service, "GET", LIST, headers={"x-request-id": "mine"}).status == 500
    failed, answered = lines_of(caplog)
    assert (failed["level"], failed["event"], failed["request_id"]) == ("error", "failed", "mine")
    assert failed["error"].endswith("KeyError")
    assert "broken" in failed["error"]
    assert {"pid", "time", "seconds"} <= answered.keys()
    expected = {"level": "warning", "event": "answered", "request_id": "mine", "method": "GET"}
    expected |= {"route": "user_recommendations", "status": 500}
    assert answered.items() >= expected.items()
    assert "u42" not in json.dumps([failed, answered])


def test_all_answers_and_ids_are_logged_where_that_is_asked(store, caplog) -> None:
    caplog.set_level(logging.INFO)
    limits = ServiceSettings(log_requests="all", log_user_ids=True)
    service = Service(store, limits).open()
    caplog.clear()
    get(service, LIST, k=3)
    (line,) = lines_of(caplog)
    assert (line["level"], line["target"], line["source"]) == ("info", f"{LIST}?k=3", "personal")


def test_slow_answers_are_problems_and_none_are_logged_where_that_is_asked(store, caplog) -> None:
    for log_requests, n in (("problems", 1), ("none", 0)):
        caplog.clear()
        limits = ServiceSettings(log_requests=log_requests, slow_seconds=1e-9)
        get(Service(store, limits).open(), LIST)
        assert [line["event"] for line in lines_of(caplog)] == ["answered"] * n


def test_a_refusal_under_overload_costs_no_record_where_its_line_is_left_out(store, caplog) -> None:
    service = Service(store, ServiceSettings(max_turn_seconds=1e-9)).open()
    seconds = [0.5]
    service._observer._few = FewASecond(lambda: seconds[0])
    caplog.clear()

    async def storm() -> list[int]:  # one turn of the event loop
        answers = await asyncio.gather(*(asked(service, "GET", LIST) for _ in range(100)))
        return [one.status for one in answers]

    n_refused = asyncio.run(storm()).count(503)
    assert n_refused >= 60
    assert len(lines_of(caplog)) == 20
    seconds[0] = 1.5
    asyncio.run(storm())
    lines = lines_of(caplog)
    assert [line.get("lines_left_out", 0) for line in lines] == [
        *[0] * 20,
        n_refused - 20,
        *[0] * 19,
    ]


def record_of(event: str, level: int = logging.WARNING, **extra: object) -> logging.LogRecord:
    return logging.makeLogRecord({"msg": event, "levelno": level, "levelname": "WARNING", **extra})


def test_few_lines_of_an_event_say_how_many_were_left_out() -> None:
    moments = [0.5] * 30 + [1.5]
    few = FewOfEach(lambda: moments.pop(0))
    records = [record_of("answered") for _ in range(29)] + [record_of("another")]
    assert sum(few.filter(record) for record in records) == 21
    later = record_of("answered", facts={"status": 503})
    assert few.filter(later)
    assert later.facts == {"status": 503, "lines_left_out": 9}
    assert all(few.filter(record_of("answered", is_wanted=True)) for _ in range(99))


def test_a_line_for_people_controls_no_terminal() -> None:
    record = record_of("answered", facts={"target": "/\x1b[31m\n", "status": 503, "source": None})
    line = TextLines().format(record)
    assert line.endswith(r"answered target=/\x1b[31m\n status=503")


def test_a_reader_that_is_stuck_holds_nobody_up() -> None:
    """The pipe is full; lines wait, and are written when it is read."""
    reading, writing = os.pipe()
    with os.fdopen(writing, "w") as stream:
        handler = WaitingLines(stream, JsonLines())
        for number in range(2000):
            handler.emit(record_of("x" * 100, facts={"number": number}))
        found: list[dict] = []

        def read() -> None:
            with os.fdopen(reading) as lines:
                found.extend(json.loads(line) for line in lines)

        reader = threading.Thread(target=read)
        reader.start()
        handler.flush()
    reader.join()
    assert [line["number"] for line in found] == list(range(2000))


@pytest.mark.parametrize("name", ["log_format", "log_requests"])
def test_what_is_no_choice_is_refused(name: str) -> None:
    with pytest.raises(ValueError, match=f"service.{name}: expected one of"):
        ServiceSettings(**{name: "loud"})
