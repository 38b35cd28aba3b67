"""What docs/service.md types is answered."""

import json
import re
import shlex
from urllib.parse import quote_plus, urlsplit

import pytest

from recsys.service import Service
from recsys.service.problems import PROBLEMS
from recsys.service.routes import ROUTES
from tests.markdown import DOCS, Page
from tests.service.asking import ask

PAGE = Page(DOCS / "service.md")
SHELL = "".join(block.text for block in PAGE.blocks("sh")).replace("\\\n", "")
CURLS = [line for line in SHELL.splitlines() if line.startswith("curl")]


def request_of(line: str) -> tuple[str, str, bytes | None, dict[str, str]]:
    """The method, target, body and header lines of a command of curl."""
    words = iter(shlex.split(line)[1:])
    url, data, headers, in_query, named = "", [], {}, False, None
    for word in words:
        if word == "-G":
            in_query = True
        elif word == "-X":
            named = next(words)
        elif word == "-H":
            name, _, value = next(words).partition(": ")
            headers[name] = value
        elif word == "-d":
            data.append(next(words))
        elif word == "--data-urlencode":
            name, _, value = next(words).partition("=")
            data.append(f"{name}={quote_plus(value)}")
        else:
            url = word
    parts = urlsplit(url)
    query = "&".join(filter(None, [parts.query, *(data if in_query else ())]))
    target = f"{parts.path}?{query}" if query else parts.path
    if data and not in_query:
        return "POST", target, data[0].encode(), headers
    return named or "GET", target, None, headers


@pytest.mark.parametrize("line", CURLS)
def test_what_the_page_asks_is_answered(live: Service, line: str) -> None:
    method, target, body, headers = request_of(line)
    answer = ask(live, method, target, body, headers)
    assert answer.status == 200, answer.body


def test_the_page_has_every_route_and_problem() -> None:
    for route in ROUTES:
        assert f"{route.path}`" in PAGE.text, route.path
    for code, (status, _) in PROBLEMS.items():
        assert re.search(rf"\| [\d, ]*{status}[^|]*\|[^|]*`{code}`", PAGE.text), code
    shown = next(block.text for block in PAGE.blocks("text") if "urn:" in block.text)
    assert PROBLEMS[json.loads(shown)["code"]][0] == json.loads(shown)["status"]
