"""The life of a service: it becomes ready, takes up versions, counts, and describes itself."""

import asyncio
import gc
import json
import os
import re
import shutil
import time
import weakref
from datetime import datetime
from pathlib import Path

import pytest
from prometheus_client.parser import text_string_to_metric_families

from recsys.service import Service, ServiceSettings
from recsys.service.counters import Counters
from recsys.service.openapi import document
from recsys.service.problems import PROBLEMS
from recsys.service.routes import ROUTES
from recsys.service.server import _set_objects_aside
from recsys.settings import IndexSettings
from recsys.store import activate, publish, versions
from tests.service.asking import ask, asked, get, post
from tests.service.conftest import release

LIST = "/v1/users/u42/recommendations"
EXACT = IndexSettings(kind="exact")


def test_it_is_live_at_once_and_ready_when_a_version_is_open(store: Path, tmp_path: Path) -> None:
    service = Service(tmp_path / "store")
    assert get(service, "/health/live").status == 200
    for path in ("/health/ready", LIST):
        answer = get(service, path)
        assert (answer.status, answer.json()["code"]) == (503, "not_ready")
        assert answer.headers["retry-after"] == "1"
    assert "recsys_service_ready 0.0" in get(service, "/metrics").body.decode()
    shutil.copytree(store, tmp_path / "store")
    service.open()
    assert get(service, "/health/ready").json()["version"] == versions(store)[0].name
    assert get(service, LIST).status == 200


def test_the_lifespan_of_a_server_opens_the_version(store: Path) -> None:
    async def live() -> list[int]:
        service, messages, sent = Service(store), asyncio.Queue(), []

        async def send(message) -> None:
            sent.append(message["type"])

        await messages.put({"type": "lifespan.startup"})
        life = asyncio.create_task(service({"type": "lifespan"}, messages.get, send))
        while not sent:  # what is asked before it is ready would wait in the server
            await asyncio.sleep(0.001)
        answer = await asked(service, "GET", LIST)
        await messages.put({"type": "lifespan.shutdown"})
        await life
        assert sent == ["lifespan.startup.complete", "lifespan.shutdown.complete"]
        return answer.status

    assert asyncio.run(live()) == 200


def test_a_new_version_is_taken_up_and_the_old_one_let_go(tmp_path: Path) -> None:
    first = publish(tmp_path, release(), EXACT)
    service = Service(tmp_path).open()
    before = get(service, LIST).json()
    second = publish(tmp_path, release(seed=1), EXACT)
    kept = weakref.ref(service.current.opened)
    assert get(service, LIST).json() == before  # until it looks again
    service._refresh()
    after = get(service, LIST).json()
    assert (before["version"], after["version"]) == (first.name, second.name)
    assert after["items"] != before["items"]
    gc.collect()
    assert kept() is None
    activate(tmp_path, first.name)
    service._refresh()
    assert get(service, LIST).json() == before
    assert "recsys_service_opened_total 3.0" in get(service, "/metrics").body.decode()


def test_a_damaged_version_is_refused_and_the_old_one_goes_on(tmp_path: Path, caplog) -> None:
    first = publish(tmp_path, release(), EXACT)
    service = Service(tmp_path).open()
    second = publish(tmp_path, release(seed=1), EXACT)
    damaged = second.folder / "items.parquet"
    whole = damaged.read_bytes()
    damaged.write_bytes(whole[:-9])
    for _ in range(3):
        service._refresh()
    assert get(service, LIST).json()["version"] == first.name
    assert "items.parquet" in caplog.text
    assert "recsys_service_refused_total 1.0" in get(service, "/metrics").body.decode()
    damaged.write_bytes(whole)
    activate(tmp_path, second.name)
    service._refresh()
    assert get(service, LIST).json()["version"] == second.name


def test_answers_are_counted_by_route_status_and_source(store: Path) -> None:
    service = Service(store).open()
    for path in (LIST, LIST, "/v1/users/nobody/recommendations", "/v1/items/never", "/?"):
        get(service, path)
    found = {}
    for family in text_string_to_metric_families(get(service, "/metrics").body.decode()):
        for sample in family.samples:
            found[sample.name, *sorted(sample.labels.values())] = sample.value
    assert found["recsys_http_requests_total", "200", "user_recommendations"] == 3
    assert found["recsys_http_requests_total", "404", "item"] == 1
    assert found["recsys_http_requests_total", "404", "other"] == 1
    times = "recsys_http_request_seconds_count"
    assert found[times, "personal", "user_recommendations"] == 2
    assert found[times, "popular", "user_recommendations"] == 1
    (version,) = [name[1] for name in found if name[0] == "recsys_service_version_info"]
    assert version == versions(store)[0].name


def test_counters_of_workers_add_up_also_of_one_that_has_ended(tmp_path: Path) -> None:
    counters = Counters(["a", "b"], ["", "x"], tmp_path)
    counters.add("a", "x", 200, 0.003)
    (own,) = tmp_path.glob(f"{os.getpid()}.counters")
    (tmp_path / "7.counters").write_bytes(own.read_bytes())
    counters.add("a", "x", 200, 0.3)
    text = counters.text()
    assert 'recsys_http_requests_total{route="a",status="200"} 3.0' in text
    assert 'le="0.005"} 2.0' in text
    assert 'recsys_http_request_seconds_sum{route="a",source="x"} 0.306' in text
    next_one = Counters(["a", "b"], ["", "x"], tmp_path)  # in a process of the same number
    names = {path.name for path in tmp_path.glob("*.counters")}
    assert names == {"ended.counters", own.name}
    next_one.add("a", "x", 200, 0.003)
    assert 'recsys_http_requests_total{route="a",status="200"} 4.0' in next_one.text()


def test_workers_show_which_versions_are_open(store: Path, tmp_path: Path) -> None:
    service = Service(store, counters=tmp_path)
    assert "recsys_service_ready 0.0" in get(service, "/metrics").body.decode()
    service.open()
    (own,) = tmp_path.glob("*.worker")
    (tmp_path / "7.worker").write_text(own.read_text())  # no child of our parent: it has ended
    text = get(service, "/metrics").body.decode()
    version = versions(store)[0]
    assert f'recsys_service_version_info{{version="{version.name}"}} 1.0' in text
    assert "recsys_service_ready 1.0" in text
    assert "recsys_service_workers 1.0" in text
    (age,) = re.findall(r"recsys_service_version_age_seconds ([\d.e+-]+)\n", text)
    created = datetime.fromisoformat(version.manifest.created).timestamp()
    assert 0 <= time.time() - created - float(age) < 60
    assert re.search(r"recsys_service_private_bytes [1-9]", text)
    assert re.search(r"recsys_service_open_files [1-9]", text)


def test_lists_go_on_where_workers_cannot_share_files(store: Path, tmp_path: Path, caplog) -> None:
    settings = ServiceSettings(max_per_second=100.0)
    service = Service(store, settings, tmp_path / "not there").open()
    assert get(service, LIST).status == 200
    assert {record.msg.partition(":")[0] for record in caplog.records} == {
        "this worker counts for itself",
        "this worker is not shown in metrics",
        "this worker counts requests a second for itself",
    }
    text = get(service, "/metrics").body.decode()
    assert "recsys_http_requests_total" in text
    assert "recsys_service_workers 1.0" in text


def test_lists_of_batches_count_and_who_is_unknown_is_a_fallback(store: Path) -> None:
    service = Service(store).open()
    requests = [{"user_id": one} for one in ("u42", "never", "u1")] + [{"k": 0}]
    post(service, "/v1/recommendations:batch", {"requests": requests})
    get(service, "/v1/users/never/recommendations")
    get(service, "/v1/lists/popular")
    lines = get(service, "/metrics").body.decode().splitlines()
    lists = "recsys_service_lists_total"
    assert f'{lists}{{route="batch",source="personal"}} 2.0' in lines
    assert f'{lists}{{route="batch",source="popular"}} 1.0' in lines
    assert f'{lists}{{route="list",source="popular"}} 1.0' in lines
    fallbacks = [line for line in lines if line.startswith("recsys_service_fallbacks_total")]
    assert [line.rpartition(" ")[2] for line in fallbacks] == ["1.0", "0.0", "1.0"]


def test_what_caches_find_is_counted_also_of_versions_that_are_gone(tmp_path: Path) -> None:
    publish(tmp_path, release(), EXACT)
    service = Service(tmp_path).open()

    def hits_and_misses(cache: str) -> list[float]:
        service._refresh()
        lines = get(service, "/metrics").body.decode().splitlines()
        names = [
            f'recsys_service_cache_{one}_total{{cache="{cache}"}} ' for one in ("hits", "misses")
        ]
        return [float(one.split()[1]) for name in names for one in lines if one.startswith(name)]

    before = hits_and_misses("queries")
    for condition in ("price < 20", "price < 20", "price < 3"):
        get(service, LIST, where=condition, k=3)
    assert hits_and_misses("conditions") == [1, 2]
    assert hits_and_misses("queries") == [before[0] + 1, before[1] + 2]
    publish(tmp_path, release(seed=1), EXACT)
    service._refresh()
    get(service, LIST, where="price < 20")
    assert hits_and_misses("conditions") == [1, 3]


def test_every_status_can_be_counted(store: Path) -> None:
    service = Service(store)
    for status, _ in (*PROBLEMS.values(), (200, ""), (204, "")):
        service.counters.add("other", "", status, 0.0)


def test_the_document_describes_every_route() -> None:
    found = json.loads(document(ServiceSettings(keys="keys", explore=True)))
    assert found["openapi"] == "3.1.0"
    routes = [route for route in ROUTES if route.is_of_program]
    assert len(routes) == sum(len(operations) for operations in found["paths"].values())
    for route in routes:
        operation = found["paths"][route.path][route.method.lower()]
        assert operation["operationId"] == route.name
        listed = {one["name"] for one in operation.get("parameters", ())}
        body = operation.get("requestBody", {}).get("content", {}).get("application/json", {})
        listed |= set(body.get("schema", {}).get("properties", {}))
        assert {one.name for one in route.parameters} <= listed
        for scheme in operation.get("security", ()):
            assert set(scheme) <= set(found["components"]["securitySchemes"])


@pytest.mark.parametrize("kind", ["websocket"])
def test_other_connections_are_closed(service: Service, kind: str) -> None:
    sent = []

    async def send(message) -> None:
        sent.append(message["type"])

    asyncio.run(service({"type": kind}, None, send))
    assert sent == ["websocket.close"]


def test_methods_of_a_path_are_named(service: Service) -> None:
    answer = ask(service, "OPTIONS", "/v1/embeddings/users")
    assert (answer.status, answer.headers["allow"]) == (204, "GET, HEAD, POST, OPTIONS")
    assert ask(service, "DELETE", LIST).headers["allow"] == "GET, HEAD, OPTIONS"


def test_the_collector_looks_for_garbage_once_a_version_and_not_through_what_stays() -> None:
    class Node:
        itself: object

    try:
        _set_objects_aside()
        assert gc.get_freeze_count() > 1000
        node = Node()
        node.itself, is_left = node, weakref.ref(node)
        gc.freeze()  # as the next version would, had nothing been collected before
        del node
        _set_objects_aside()
        assert is_left() is None
    finally:
        gc.unfreeze()
