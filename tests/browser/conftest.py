"""A real browser: pages may not complain, and may load nothing from elsewhere."""

import re
import shutil
from collections.abc import Callable, Collection, Iterator

import pytest
from playwright.sync_api import Browser, ConsoleMessage, Page, Route, sync_playwright

_FLAGS = ("--no-sandbox", "--disable-gpu", "--disable-background-networking")
_OWN = re.compile(r"(file|data|blob|about):|https?://(127\.0\.0\.1|localhost|\[::1\])[:/]")

Visit = Callable[..., Page]


@pytest.fixture(scope="module")
def browser() -> Iterator[Browser]:
    """Debian's Chromium, which `.ci/system-packages` installs, without a window.

    One a module, not a session: while Playwright is there, its loop runs in this thread, and
    asyncio.run of another test in this process would be an error.
    """
    program = shutil.which("chromium") or shutil.which("chromium-browser")
    assert program, "expected chromium, got none; `make install` brings it"
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=program, args=list(_FLAGS))
        yield browser
        browser.close()


@pytest.fixture
def visit(browser: Browser) -> Iterator[Visit]:
    """Open a page as `visit(url, width=390, scheme="dark")`; what it did wrong fails the test.

    An error on its console, an exception of a script, and a request to elsewhere are wrong; an
    answer of one of the statuses `refused` is not. Other options are those of a context of
    Playwright.
    """
    wrong: list[str] = []
    contexts = []

    def to_elsewhere(route: Route) -> None:
        wrong.append(f"asks for {route.request.url}")
        route.abort()

    def visit(
        url: str,
        *,
        width: int = 1280,
        height: int = 900,
        scheme: str = "light",
        refused: Collection[int] = (),
        **options: object,
    ) -> Page:
        expected = [f"responded with a status of {status} " for status in refused]

        def printed(line: ConsoleMessage) -> None:
            if line.type == "error" and not any(one in line.text for one in expected):
                wrong.append(f"prints {line.text}")

        size = {"width": width, "height": height}
        context = browser.new_context(viewport=size, color_scheme=scheme, **options)
        contexts.append(context)
        context.route(lambda asked: not _OWN.match(asked), to_elsewhere)
        page = context.new_page()
        page.on("pageerror", lambda error: wrong.append(f"raises {error}"))
        page.on("console", printed)
        page.goto(url)
        return page

    yield visit
    for context in contexts:
        context.close()
    assert not wrong
