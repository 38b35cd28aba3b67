"""A short form of `benchmarks.hostile`: requests that nobody should send, to a real server."""

import json
import random
from pathlib import Path

import pytest

from benchmarks.hostile import USERS, Hurt, Process, answers, grown, hurt, make_store, served
from benchmarks.hostile_requests import KINDS, Attack, attack

pytest.importorskip("granian", reason="make install brings what serves")


def test_nothing_hurts_a_real_server(tmp_path: Path) -> None:
    make_store(tmp_path / "store")
    with served(tmp_path / "store", tmp_path / "log") as (port, worker):
        wrong = hurt(port, worker, 1_500, seed=7, n_parts=3, most_megabytes=60)
        assert Process.of(worker).descriptors < 100
    assert wrong == []
    for line in (tmp_path / "log").read_text().splitlines():
        assert json.loads(line)["level"] in ("info", "warning"), line


def test_the_same_seed_sends_the_same() -> None:
    sent = [[attack(random.Random(f"{n}"), "u") for n in range(300)] for _ in range(2)]
    assert sent[0] == sent[1]
    assert {one.kind for one in sent[0]} == {kind.__name__ for kind in KINDS} | {"cut_off"}
    assert len({one.data for one in sent[0]}) > 200


@pytest.mark.parametrize(
    ("megabytes", "descriptors", "n_wrong"),
    [
        ((200, 300, 340, 350, 340, 352), (20, 20, 20, 20, 20, 20), 0),  # full after a third
        ((200, 300, 340, 350, 355, 365), (20, 20, 20, 20, 20, 20), 1),  # it goes on
        ((200, 300, 340, 350, 340, 352), (20, 20, 20, 21, 22, 23), 1),
    ],
)
def test_a_leak_is_seen(
    megabytes: tuple[float, ...], descriptors: tuple[int, ...], n_wrong: int
) -> None:
    held = [Process(size, 9, files) for size, files in zip(megabytes, descriptors, strict=True)]
    assert len(grown(held, 10)) == n_wrong


def test_what_is_wrong_is_seen() -> None:
    lists = {USERS[0]: b"[0]", USERS[1]: b"[1]"}
    at_work = Hurt("", 0, lists, 0)

    def wrong(status: int, request_id: bytes, body: bytes, data: bytes = b"") -> list[str]:
        head = b"HTTP/1.1 %d X\r\nx-request-id: %s\r\ncontent-length: %d\r\n\r\n"
        (answer,) = answers(head % (status, request_id, len(body)) + body)
        return at_work.wrong(Attack("kind", data, True), [answer], b"probe-1", USERS[0])

    assert wrong(200, b"probe-1", b"[0]") == wrong(503, b"probe-1", b"busy") == []
    assert wrong(500, b"a", b"") == ["status 500"]
    assert wrong(200, b"probe-2", b"[0]") == ["the answer of another connection"]
    assert wrong(200, b"a", b"[1]") == ["the list of another user"]
    assert wrong(422, b"a", USERS[1].encode()) == [f"the id of another user, {USERS[1]}"]
    assert wrong(200, b"probe-1", b"[2]") == ["the good request got b'[2]'"]
    both = b"Transfer-Encoding: chunked\r\nContent-Length: 4\r\n\r\n"
    assert wrong(200, b"smuggled", b"", both) == ["a smuggled request was answered"]
