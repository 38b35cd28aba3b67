"""What commands make that is the same each time is made once: choices of a model, and charts.

A choice is most of what a training does that names no model (tests/tuning/test_choice.py says that
it is the same), charts are most of what a small night does (tests/pages/test_charts.py). Commands
and programs that tests run leave both in the folder that `TESTS_CHOICES` names, for those that
choose for the same log with the same settings, or draw the same values.
"""

import os
import pickle
from collections.abc import Callable
from hashlib import blake2b
from pathlib import Path
from typing import Any

from recsys.logs import Interactions
from recsys.pages import version_page
from recsys.pages.charts import svg_of
from recsys.tuning.fits import Fits

_run = Fits.run


def make_choices_once() -> None:
    """Let `Fits.run` of this process and its forks look first at what others have tried."""
    Fits.run = _run_or_read  # type: ignore[method-assign]


def draw_charts_once() -> None:
    """Let pages of this process and its forks look first at what others have drawn."""
    version_page.svg_of = lambda chart: _kept(_hash(pickle.dumps(chart)), lambda: svg_of(chart))


def _kept(key: str, make: Callable[[], Any]) -> Any:
    """Return what was made before under a key, or make and keep it."""
    folder = os.environ.get("TESTS_CHOICES")
    if folder is None:
        return make()
    path = Path(folder, key)
    if not path.exists():
        written = path.with_name(f"{path.name}.{os.getpid()}")
        written.write_bytes(pickle.dumps(make()))
        written.rename(path)
    return pickle.loads(path.read_bytes())  # noqa: S301


def _hash(*parts: bytes) -> str:
    return blake2b(b"".join(parts)).hexdigest()[:32]


def _run_or_read(self: Fits) -> None:
    def run() -> Any:
        _run(self)
        return self.tried, self.ended

    self.tried, self.ended = _kept(_key_of(self), run)


def _key_of(fits: Fits) -> str:
    task = fits.task
    wanted = (task.metric, task.k, task.seed, task.most_users, fits.settings)
    return _hash(_bytes_of(task.train), _bytes_of(task.validation), repr(wanted).encode())


def _bytes_of(log: Interactions) -> bytes:
    columns = (log.user_idx, log.item_idx, log.weight, log.timestamp)
    return pickle.dumps((len(log.users), len(log.items), *columns))
