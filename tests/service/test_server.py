"""Real processes: they listen, are replaced, and end in peace."""

import json
import os
import signal
import time
from collections.abc import Iterator
from http.client import HTTPConnection
from pathlib import Path

import pytest

from recsys.service import ServiceSettings, new_key
from recsys.store import versions
from tests.command_line import run
from tests.service.servers import PATIENCE, Server, serving

pytest.importorskip("granian", reason="make install brings what serves")

LIST = "/v1/users/u42/recommendations?k=3"


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[Server]:
    with serving("--store", store) as started:
        yield started


def test_it_serves_and_ends_in_peace(server: Server, store: Path) -> None:
    """The life of one server: a list, a dead worker, a body that ends after SIGTERM."""
    status, body = server.get(LIST)
    assert (status, versions(store)[0].name.encode() in body) == (200, True)
    assert server.get("/v1/users/%F0%9F%A6%84%20emoji/recommendations")[0] == 200
    assert server.get("/v1/users/" + "x" * 10_000 + "/recommendations?on_unknown=raise")[0] == 200

    (worker,) = server.workers
    os.kill(worker, signal.SIGKILL)
    while server.workers in ([], [worker]):
        time.sleep(0.05)
    server.wait()
    assert b'route="user_recommendations",status="200"} 3.0' in server.get("/metrics")[1]

    body = b'{"user_id": "u42", "k": 3}'
    connection = HTTPConnection("127.0.0.1", server.port, timeout=PATIENCE)
    connection.putrequest("POST", "/v1/recommendations")
    connection.putheader("content-type", "application/json")
    connection.putheader("content-length", str(len(body)))
    connection.endheaders(body[:5])
    server.wait()  # so the worker has begun with the half that is there
    server.process.send_signal(signal.SIGTERM)
    time.sleep(0.2)
    connection.send(body[5:])
    answer = connection.getresponse()
    assert (answer.status, b'"source":"personal"' in answer.read()) == (200, True)
    connection.close()
    out, err = server.process.communicate(timeout=PATIENCE)
    assert (server.process.returncode, out) == (0, b"")
    lines = [json.loads(line) for line in err.decode().splitlines()]
    (listening,) = [line for line in lines if line["event"] == "listening"]
    lines.remove(listening)
    assert listening["url"] == f"http://127.0.0.1:{server.port}"
    assert lines[0]["time"] <= listening["time"]  # it can answer by then: a version is open
    died = "Unexpected exit from worker-1"
    # Where threads of Granian race for the exit code of a worker, it says that it kills it.
    events = [line["event"] for line in lines if not line["event"].startswith("Killing")]
    assert events == ["opened", died, "opened"]
    assert "u42" not in err.decode()


def test_check_says_whether_it_would_start(store: Path, tmp_path: Path) -> None:
    done = run("serve", "--check", "--store", store, "--port", "0")
    expected = f"would serve version {versions(store)[0].name} at http://127.0.0.1:0\n"
    assert (done.returncode, done.stdout) == (0, expected)
    assert "ok: store: " in done.stderr
    remote = run("serve", "--check", "--store", store, "--host", "0.0.0.0", "--port", "0")  # noqa: S104
    assert (remote.returncode, remote.stdout) == (2, "")
    assert "--host" in remote.stderr
    absent = run("serve", "--store", tmp_path / "absent", "--port", "0")
    assert (absent.returncode, "expected a folder at" in absent.stderr) == (1, True)
    keys = tmp_path / "keys.jsonl"
    new_key(keys, "shop")
    everybody = ("--host", "0.0.0.0", "--keys", keys)  # noqa: S104
    done = run("serve", "--check", "--store", store, *everybody, "--port", "0")
    assert done.stdout.endswith("at http://0.0.0.0:0\n")
    assert ServiceSettings(host="::").url == "http://[::]:8000"


def test_a_new_key_is_printed_once(tmp_path: Path) -> None:
    keys = tmp_path / "keys.jsonl"
    done = run("serve", "--new-key", "shop", "--scope", "operate", "--keys", keys)
    assert (done.returncode, done.stdout.startswith("recsys_")) == (0, True)
    assert done.stdout.strip() not in keys.read_text()
    assert run("serve", "--new-key", "shop", "--scope", "all", "--keys", keys).returncode == 2
    assert run("serve", "--new-key", "shop").returncode == 2
