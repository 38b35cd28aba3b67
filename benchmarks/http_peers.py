"""Applications that `benchmarks.http` measures: one by name, over the store of $RECSYS_STORE.

Each framework answers the same list as its users write it: a route, `recommend`, a dict. So does
implicit in FastAPI, with its model and all ids in memory. `bare` and its like answer a constant of
the size of a list.
"""

import os
from functools import cache
from typing import Any

import recsys

BODY = b"x" * int(os.environ.get("HTTP_BYTES", "1700"))
_HEADERS = [(b"content-type", b"application/json"), (b"content-length", b"%d" % len(BODY))]


async def bare(scope: Any, receive: Any, send: Any) -> None:
    """Answer a constant: what the server alone costs."""
    if scope["type"] == "lifespan":
        for _ in range(2):
            message = await receive()
            await send({"type": message["type"] + ".complete"})
        return
    await send({"type": "http.response.start", "status": 200, "headers": _HEADERS})
    await send({"type": "http.response.body", "body": BODY})


async def bare_rsgi(_scope: Any, protocol: Any) -> None:
    """Answer the same by the interface of Granian's own."""
    protocol.response_bytes(200, [("content-type", "application/json")], BODY)


@cache
def _opened() -> tuple[Any, dict[Any, str]]:
    recommender = recsys.open()
    table = recsys.store.open_version(os.environ["RECSYS_STORE"]).attributes
    assert table is not None
    titles = zip(table["item_id"].to_pylist(), table["title"].to_pylist(), strict=True)
    return recommender, dict(titles)


def listed(user_id: str, k: int) -> dict[str, Any]:
    """Return a list as a dict."""
    recommender, titles = _opened()
    found = recommender.recommend(user_id, k)
    items = [{"item_id": one, "title": titles[one], "score": score} for one, score in found]
    return {"items": items, "source": found.source, "version": found.version}


def ours() -> Any:
    """Make our service."""
    from recsys.service import Service

    return Service()


def starlette() -> Any:
    """Make an application of Starlette."""
    from starlette.applications import Starlette
    from starlette.responses import JSONResponse, Response
    from starlette.routing import Route

    async def user(request: Any) -> Response:
        k = int(request.query_params["k"])
        return JSONResponse(listed(request.path_params["user_id"], k))

    async def constant(_request: Any) -> Response:
        return Response(BODY, media_type="application/json")

    path = "/v1/users/{user_id}/recommendations"
    return Starlette(routes=[Route(path, user), Route("/bare", constant)])


def fastapi() -> Any:
    """Make an application of FastAPI."""
    from fastapi import FastAPI, Response

    app = FastAPI()

    @app.get("/v1/users/{user_id}/recommendations")
    async def user(user_id: str, k: int = 10) -> dict[str, Any]:
        return listed(user_id, k)

    @app.get("/bare")
    async def constant() -> Response:
        return Response(BODY, media_type="application/json")

    return app


def implicit_fastapi() -> Any:
    """Make an application of FastAPI over a model of implicit, from the tables of the version."""
    import numpy as np
    import scipy.sparse as sp
    from fastapi import FastAPI
    from implicit.cpu.als import AlternatingLeastSquares

    content = recsys.store.open_version(os.environ["RECSYS_STORE"])
    users, items, table = content.users, content.items, content.attributes
    assert table is not None
    model = AlternatingLeastSquares(factors=items.embeddings.shape[1])
    model.user_factors = np.array(users.embeddings, dtype=np.float32)
    model.item_factors = np.array(items.embeddings, dtype=np.float32)
    seen = users.seen
    ones, shape = np.ones(len(seen.item_idx), dtype=np.float32), (len(users.ids), len(items.ids))
    user_items = sp.csr_matrix((ones, np.array(seen.item_idx), np.array(seen.starts)), shape)
    rows = {str(user_id): row for row, user_id in enumerate(users.ids.values.to_pylist())}
    item_ids, titles = items.ids.values.to_pylist(), table["title"].to_pylist()
    app = FastAPI()

    @app.get("/v1/users/{user_id}/recommendations")
    async def user(user_id: str, k: int = 10) -> dict[str, Any]:
        row = rows[user_id]
        found, scores = model.recommend(row, user_items[row], N=k, filter_already_liked_items=True)
        return {
            "items": [
                {"item_id": item_ids[item], "title": titles[item], "score": float(score)}
                for item, score in zip(found, scores, strict=True)
            ]
        }

    return app


def litestar() -> Any:
    """Make an application of Litestar."""
    from litestar import Litestar, Response, get

    async def user(user_id: str, k: int = 10) -> dict[str, Any]:
        return listed(user_id, k)

    async def constant() -> Response[bytes]:
        return Response(BODY, media_type="application/json")

    path = "/v1/users/{user_id:str}/recommendations"
    return Litestar([get(path)(user), get("/bare")(constant)])
