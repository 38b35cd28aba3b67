"""The pictures of pages in docs/, of the bundled log: `python -m docs.site.screenshots`.

It trains two versions, lets the commands write or serve their pages, and keeps what Chromium shows
in light and dark, in few colours, so that each is of some tens of kilobytes.
"""

import io
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from PIL import Image
from playwright.sync_api import Page, ViewportSize, sync_playwright

from docs.site.pages import ROOT

_SIZE = ViewportSize(width=1100, height=700)
_COLORS = 160
_FLAGS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]


def main() -> None:
    """Take every picture."""
    with tempfile.TemporaryDirectory() as temporary:
        store = Path(temporary, "store")
        for model in ("als", "svd"):
            _recsys("train", "--config", "pipelines/sample.toml", "--model", model, store=store)
        with _browser() as page:
            for name in ("report", "map"):
                path = Path(temporary, f"{name}.html")
                _recsys(name, "--out", str(path), store=store)
                page.goto(path.as_uri())
                _keep(page, name)
        with _explorer(store) as url, _browser() as page:
            page.goto(f"{url}/explore#view=lists&user=u42")
            page.locator("text=because of").first.wait_for()
            _keep(page, "explorer")
            page.goto(f"{url}/dashboard")
            page.locator("text=recall@20").first.wait_for()
            _keep(page, "dashboard")


def _recsys(*arguments: str, store: Path) -> None:
    command = [sys.executable, "-m", "recsys", *arguments, "--store", str(store)]
    subprocess.run(command, cwd=ROOT, check=True)


@contextmanager
def _explorer(store: Path) -> Iterator[str]:
    """Run `recsys explore`, and give the address of its service."""
    command = [sys.executable, "-m", "recsys", "explore", "--store", str(store), "--no-browser"]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        if process.stdout:
            yield process.stdout.readline().strip().removesuffix("/explore")
        process.terminate()


@contextmanager
def _browser() -> Iterator[Page]:
    with sync_playwright() as playwright:
        program = playwright.chromium.launch(executable_path="/usr/bin/chromium", args=_FLAGS)
        yield program.new_page(viewport=_SIZE)


def _keep(page: Page, name: str) -> None:
    for scheme in ("light", "dark"):
        page.emulate_media(color_scheme=scheme)
        picture = Image.open(io.BytesIO(page.screenshot()))
        few = picture.convert("RGB").quantize(_COLORS, dither=Image.Dither.NONE)
        few.save(ROOT / "docs" / f"{name}-{scheme}.png", optimize=True)


if __name__ == "__main__":
    main()
