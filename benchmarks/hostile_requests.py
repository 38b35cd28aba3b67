"""Requests that nobody should send: what `benchmarks.hostile` sends to the service.

Each kind is a function from a random generator and a known user to the bytes of a connection.
"""

import json
import random
from collections.abc import Callable
from typing import Any, NamedTuple

NAME = "service.example"
HOST = b"Host: %s\r\n" % NAME.encode()
SMUGGLED = b"GET /v1/version HTTP/1.1\r\n" + HOST + b"X-Request-Id: smuggled\r\n\r\n"
_LIST = b"/v1/recommendations"


class Attack(NamedTuple):
    """The bytes of a connection.

    Parameters
    ----------
    is_framed : bool
        Whether they are one whole request for every reader, so that what follows is the next one.
    """

    kind: str
    data: bytes
    is_framed: bool

    @property
    def is_ambiguous(self) -> bool:
        """Whether it has both lengths, which no reader may take for two requests."""
        head = self.data.partition(b"\r\n\r\n")[0].lower()
        return b"transfer-encoding" in head and b"content-length" in head


def _get(target: bytes, headers: bytes = b"") -> bytes:
    return b"GET " + target + b" HTTP/1.1\r\n" + HOST + headers + b"\r\n"


def _post(body: bytes, path: bytes = _LIST, headers: bytes = b"") -> bytes:
    length = b"Content-Length: %d\r\n" % len(body)
    json_type = b"" if b"ontent-type" in headers.lower() else b"Content-Type: application/json\r\n"
    return b"POST " + path + b" HTTP/1.1\r\n" + HOST + json_type + headers + length + b"\r\n" + body


def examples(user: str) -> list[bytes]:
    """Return good requests, which mutations begin with."""
    name = user.encode()
    return [
        _get(b"/v1/users/" + name + b"/recommendations?k=5"),
        _get(b"/v1/users/" + name + b"/recommendations?k=5&where=price%20%3C%2020&details=true"),
        _get(b"/v1/users/" + name + b"/explanations/i7"),
        _get(b"/v1/items/i7/similar?k=3&exclude=i9"),
        _get(b"/v1/items?title=title%201"),
        _get(b"/v1/lists/popular?max_per=category:2"),
        _get(b"/v1/embeddings/items?id=i7&id=i9"),
        _post(json.dumps({"user_id": user, "k": 5, "candidates": ["i7", "i9"]}).encode()),
        _post(json.dumps({"history": ["i7", "i9"], "weights": [1, 2.5]}).encode()),
        _post(
            json.dumps({"requests": [{"user_id": user}, {"history": ["i7"]}]}).encode(),
            b"/v1/recommendations:batch",
        ),
        _post(json.dumps({"ids": ["i7"]}).encode(), b"/v1/embeddings/items"),
    ]


def mutated(rng: random.Random, user: str) -> tuple[bytes, bool]:
    """Return a good request with bytes changed, added, taken away or repeated."""
    data = bytearray(rng.choice(examples(user)))
    for _ in range(rng.choice((1, 1, 1, 3, 10))):
        place, change = rng.randrange(len(data) + 1), rng.randrange(5)
        if change == 0:
            data[place : place + 1] = bytes([rng.randrange(256)])
        elif change == 1:
            data[place:place] = rng.randbytes(rng.choice((1, 2, 50)))
        elif change == 2:
            del data[place : place + rng.choice((1, 5, 50))]
        elif change == 3:
            data[place:place] = data[max(place - rng.randrange(1, 40), 0) : place]
        else:
            data[place:place] = rng.choice(
                (b"\r\n", b"\n", b"\0", b"%", b" ", b"\t", b'"', b"\xff")
            )
    return bytes(data), False


def first_line(rng: random.Random, user: str) -> tuple[bytes, bool]:
    """Return a request whose first line is wrong."""
    path = b"/v1/users/" + user.encode() + b"/recommendations"
    line = rng.choice(
        (
            b"GET " + path,
            b"GET " + path + b" HTTP/0.9",
            b"GET " + path + b" HTTP/1.2",
            b"GET " + path + b" HTTP/2.0",
            b"GET " + path + b" HTTP/9.9",
            b"GET  " + path + b" HTTP/1.1",
            b"get " + path + b" HTTP/1.1",
            b"G\0T " + path + b" HTTP/1.1",
            b"X" * 5_000 + b" / HTTP/1.1",
            b"GET http://other.example" + path + b" HTTP/1.1",
            b"GET //other.example" + path + b" HTTP/1.1",
            b"CONNECT service.example:443 HTTP/1.1",
            b"OPTIONS * HTTP/1.1",
            b"TRACE " + path + b" HTTP/1.1",
            b"DELETE " + path + b" HTTP/1.1",
            b"DELETE /v1/users/%2e%2e HTTP/1.1",
            b"PRI * HTTP/2.0",
            b"GET \r\n HTTP/1.1",
            b"GET " + path + b" HTTP/1.1 HTTP/1.1",
            b"GET\t" + path + b"\tHTTP/1.1",
            b"\r\n\r\n\r\nGET " + path + b" HTTP/1.1",
            b"",
            rng.randbytes(rng.randrange(1, 200)),
        )
    )
    return line + rng.choice((b"\r\n", b"\n", b"\r")) + HOST + b"\r\n", False


def headers(rng: random.Random, user: str) -> tuple[bytes, bool]:
    """Return a request whose header is wrong or too large."""
    line = rng.choice(
        (
            b"X: " + b"y" * rng.choice((10_000, 20_000, 300_000)) + b"\r\n",
            b"".join(b"X-%d: y\r\n" % n for n in range(rng.choice((90, 110, 5_000)))),
            b"X-Request-Id: " + rng.randbytes(8).replace(b"\n", b"") + b"\r\n",
            b"X-Request-Id: a\rb\r\n",
            b"X-Request-Id: a\r\n b\r\n",
            b"Bad Name: x\r\n",
            b"NoColon\r\n",
            b": empty\r\n",
            b"X\0Y: z\r\n",
            b"X: a\0b\r\n",
            b"Authorization: Bearer " + rng.randbytes(30).hex().encode() + b"\r\n",
            b"Authorization: \xff\xfe\r\nX-Api-Key: \xc3\xa9\r\n",
            b"Host: other.example\r\n",
            b"Connection: upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Key: x\r\n",
            b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n",
            b"Origin: https://evil.example\r\nAccess-Control-Request-Method: POST\r\n",
            b"Range: bytes=0-1,2-3\r\n",
            b"Accept-Encoding: gzip;q=1.0,*;q=0\r\nTE: trailers\r\n",
            b"Forwarded: for=127.0.0.1\r\nX-Original-URL: /metrics\r\n",
            b"traceparent: 00-ffffffffffffffffffffffffffffffff-ffffffffffffffff-ff\r\n",
        )
    )
    return _get(b"/v1/users/" + user.encode() + b"/recommendations?k=2", line), False


def lengths(rng: random.Random, _: str) -> tuple[bytes, bool]:
    """Return a request whose readers may disagree on where it ends, and another one within."""
    chunked = rng.choice(
        (
            b"Transfer-Encoding: chunked",
            b"Transfer-Encoding : chunked",
            b"Transfer-Encoding: xchunked",
            b"Transfer-Encoding: chunked, identity",
            b"Transfer-Encoding: identity, chunked",
            b"Transfer-Encoding:\tchunked",
            b"Transfer-Encoding: chunked\r\nTransfer-Encoding: cow",
            b"Transfer-Encoding: \x0bchunked",
            b"X: y\nTransfer-Encoding: chunked",
            b"Transfer-Encoding\n: chunked",
        )
    )
    length = rng.choice(
        (
            b"4",
            b"0",
            b"-1",
            b"+4",
            b"0x4",
            b"4, 4",
            b"4, 5",
            b"4 4",
            b"99999999999999999999",
            b"\xb2",
        )
    )
    body = rng.choice(
        (
            b"0\r\n\r\n" + SMUGGLED,
            b"2\r\n{}\r\n0\r\n\r\n" + SMUGGLED,
            b"2;a=b\r\n{}\r\n0\r\nX-Trailer: y\r\n\r\n" + SMUGGLED,
            b"ffffffffffffffffff\r\n{}\r\n",
            b"-1\r\n{}\r\n0\r\n\r\n",
            b"2\n{}\n0\n\n" + SMUGGLED,
            b"{}" + SMUGGLED,
        )
    )
    both = [chunked, b"Content-Length: " + length]
    rng.shuffle(both)
    kept = both[: rng.choice((1, 2, 2))] + rng.choice(([], [b"Content-Length: 7"]))
    start = b"POST " + _LIST + b" HTTP/1.1\r\n" + HOST + b"Content-Type: application/json\r\n"
    return start + b"\r\n".join(kept) + b"\r\n\r\n" + body, False


_TEXT = json.dumps({"user_id": "nobody", "k": 3})
_BODIES = (
    *(start * deep for start in (b"[", b'{"a":') for deep in (100, 990, 1_010, 20_000, 180_000)),
    *(b"[" * deep + b"]" * deep for deep in (100, 990, 1_010, 400_000)),
    *(b'{"user_id":' + b"9" * digits + b"}" for digits in (19, 400, 5_000)),
    b'{"k": 1e999}',
    b'{"k": -0}',
    b'{"diversity": 1e-400}',
    b'{"k": NaN, "weights": [Infinity]}',
    b'{"user_id": "a", "user_id": "b"}',
    b'{"user_id": "\\ud800"}',
    b'{"user_id": "\\udc00\\ud800", "exclude": ["\\u0000"]}',
    b'{"user_id": "\xed\xa0\x80"}',
    b'{"user_id": "\xc0\xaf"}',
    *(_TEXT.encode(encoding) for encoding in ("utf-16", "utf-32", "utf-7", "utf-8-sig")),
    _TEXT.encode() + b"\0",
    _TEXT.encode() + b"}",
    json.dumps({f"a{n}": n for n in range(20_000)}).encode(),
    json.dumps({"user_id": "nobody", "exclude": [n << 61 for n in range(9_000)]}).encode(),
    json.dumps({"history": ["i7"] * 9_999}).encode(),
    json.dumps({"user_id": "x" * 900_000}).encode(),
    b" " * 1_200_000,
    b"",
)


def bodies(rng: random.Random, _: str) -> tuple[bytes, bool]:
    """Return a whole request with a body that is no JSON, or too much of it."""
    body = rng.choice((rng.choice(_BODIES), rng.randbytes(rng.randrange(1, 300))))
    kind = rng.choice(
        (
            b"",
            b"",
            b"Content-Type: application/json; charset=utf-16\r\n",
            b"Content-Type: text/plain\r\n",
            b"Content-Type: multipart/form-data; boundary=x\r\n",
            b"Content-Encoding: gzip\r\n",
        )
    )
    path = rng.choice((_LIST, b"/v1/recommendations:batch", b"/v1/explanations", b"/v1/events"))
    return _post(body, path, kind), True


_NAMES = (
    *("user_id", "history", "k", "exclude", "candidates", "where", "diversity", "max_per"),
    *("include_seen", "on_unknown", "weights", "details", "requests", "ids", "item_id", "kk"),
    *("events", "event", "value", "timestamp", "event_id"),
)


def _value(rng: random.Random, depth: int = 0) -> Any:
    simple = (
        *(None, True, False, 0, 1, -1, 3, 10**6, 10**30, 1.5, -0.0, 1e308),
        *("", "i7", "u", "price < 20", "category:1", "category:999999999", "raise", "\0", "🦄"),
        *("a" * 300, "price < 1 or " * 70 + "price < 1", "(" * 40 + "price < 1" + ")" * 40),
        *("title like '%a%b%c%d%e%f%g%h%'", "'; drop table users; --", "price < (select 1)"),
    )
    if depth > 2 or rng.random() < 0.7:
        return rng.choice(simple)
    if rng.random() < 0.6:
        return [_value(rng, depth + 1) for _ in range(rng.choice((0, 1, 2, 30)))]
    return {rng.choice(_NAMES): _value(rng, depth + 1) for _ in range(rng.randrange(4))}


def arguments(rng: random.Random, user: str) -> tuple[bytes, bool]:
    """Return a whole request of good JSON with arguments of any type."""
    body = {rng.choice(_NAMES): _value(rng) for _ in range(rng.randrange(1, 6))}
    path = rng.choice(
        (
            *(_LIST, _LIST, b"/v1/recommendations:batch", b"/v1/explanations"),
            *(b"/v1/embeddings/users", b"/v1/items/i7/similar", b"/v1/lists/popular"),
            *(b"/v1/events", b"/v1/events"),
        )
    )
    if rng.random() < 0.5:  # the events of users whose lists are compared would change these
        body["user_id"] = "somebody else" if path == b"/v1/events" else user
    return _post(json.dumps(body).encode(), path), True


def targets(rng: random.Random, _: str) -> tuple[bytes, bool]:
    """Return a whole request of a path or query that nobody means."""
    id_ = rng.choice(
        (
            *(b"..", b".", b"%2e%2e", b"%2e%2e%2f%2e%2e%2fetc%2fpasswd", b"..%5c..%5c", b"%00"),
            *(b"%c0%af", b"%ff", b"%", b"%zz", b"%u0041", b"%25%32%46", b"a%0d%0aX:%20y"),
            *(b"%ed%a0%80", b"%f0%9f%a6%84", b"x" * 10_000, b"%41" * 15_000, b"y" * 70_000),
            *(b"", b";jsessionid=1", b"*", b"'%20or%201=1", b"$%7bjndi%7d", b"%E2%80%AE"),
            *(b"-0", b"007", b"1e3", b"%201", b"9" * 400),
        )
    )
    path = rng.choice(
        (
            b"/v1/users/%s/recommendations",
            b"/v1/items/%s",
            b"/v1/items/%s/similar",
            b"/v1/users/u/explanations/%s",
            b"/v1/lists/%s",
            b"/v1/embeddings/%s",
            b"/%s",
            b"//v1//users/%s/recommendations/",
        )
    )
    query = rng.choice(
        (
            *(b"", b"?", b"?&&&===", b"?k=0", b"?k=-1", b"?k=1e3", b"?k=%d" % 10**18, b"?k=1&k=2"),
            *(b"?k=" + b"9" * 5_000, b"?%00=%00", b"?%ff=1", b"?k=%EF%BC%91", b"?where=%27"),
            b"?where=" + b"(" * 500 + b"price<1" + b")" * 500,
            b"?where=" + b"not%20" * 2_000 + b"price<1",
            b"?where=title%20like%20%27" + b"%25a" * 120 + b"%27",
            b"?" + b"&".join(b"exclude=%d" % n for n in range(5_000)),
            b"?" + b"&".join(b"a%d=1" % n for n in range(3_000)),
            *(b"?max_per=category:0", b"?max_per=:", b"?diversity=inf", b"?diversity=nan"),
            *(b"?include_seen=2", b"?on_unknown=raise", b"?column=price", b"?title=%20%20%00"),
        )
    )
    return _get(path % id_ + query), True


def cut_off(rng: random.Random, user: str) -> tuple[bytes, bool]:
    """Return the start of a good request, after which nothing comes."""
    data = rng.choice(examples(user))
    return data[: rng.randrange(len(data))], False


KINDS: tuple[Callable[[random.Random, str], tuple[bytes, bool]], ...] = (
    *(mutated, first_line, headers, lengths, bodies, arguments, targets),
)


def attack(rng: random.Random, user: str) -> Attack:
    """Return what a connection sends; one in fifty is cut off."""
    kind = cut_off if rng.random() < 0.02 else rng.choice(KINDS)
    data, is_framed = kind(rng, user)
    return Attack(kind.__name__, data, is_framed)
