"""The doors to one version: the recommender, and clients of a real service over it."""

import asyncio
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import pytest

from recsys.client import AsyncClient, Client
from recsys.serving import Recommender
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import publish
from tests.service.conftest import release
from tests.service.servers import PATIENCE, Server, serving


@pytest.fixture(scope="session")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("client") / "store"
    publish(folder, release(), IndexSettings(kind="exact"))
    return folder


@pytest.fixture(scope="session")
def server(folder: Path) -> Iterator[Server]:
    with serving("--store", folder) as started:
        yield started


class Awaited:
    """An asynchronous client whose methods return when the answer is there, as tests ask."""

    def __init__(self, client: AsyncClient, loop: asyncio.AbstractEventLoop) -> None:
        self._client, self._loop = client, loop

    def __getattr__(self, name: str) -> Callable[..., Any]:
        method = getattr(self._client, name)
        return lambda *args, **kwargs: self._loop.run_until_complete(method(*args, **kwargs))


@pytest.fixture(scope="session")
def doors(folder: Path, server: Server) -> Iterator[dict[str, Any]]:
    options: dict[str, Any] = {"timeout": PATIENCE, "details": True}
    loop = asyncio.new_event_loop()
    waiting = Awaited(AsyncClient(server.url, **options), loop)
    with Client(server.url, **options) as client:
        yield {"recommender": open_store(folder), "client": client, "awaited": waiting}
    waiting.close()
    loop.close()


@pytest.fixture(params=["recommender", "client", "awaited"])
def door(doors: dict[str, Any], request: pytest.FixtureRequest) -> Any:
    return doors[request.param]


@pytest.fixture(scope="session")
def recommender(doors: dict[str, Any]) -> Recommender:
    return doors["recommender"]


@pytest.fixture
def answering() -> Callable[..., tuple[Client, list[httpx.Request]]]:
    """A client to whom the network gives some outcomes, one after another, and what it sent."""

    def make(*outcomes: httpx.Response | Exception, **options: Any) -> tuple[Client, list]:
        sent: list[httpx.Request] = []

        def answer(request: httpx.Request) -> httpx.Response:
            sent.append(request)
            outcome = outcomes[min(len(sent), len(outcomes)) - 1]
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        http = httpx.Client(transport=httpx.MockTransport(answer))
        return Client("http://service.example/base", http=http, **options), sent

    return make
