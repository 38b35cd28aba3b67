"""A choice of a model is made once for all commands that would make the same.

It is the same each time (tests/tuning/test_choice.py), and most of what a training does that names
no model. Commands and programs that tests run leave what they have tried in the folder that
`TESTS_CHOICES` names, for those that choose for the same log with the same settings.
"""

import os
import pickle
from hashlib import blake2b
from pathlib import Path

from recsys.logs import Interactions
from recsys.tuning.fits import Fits

_run = Fits.run


def make_choices_once() -> None:
    """Let `Fits.run` of this process and its forks look first at what others have tried."""
    Fits.run = _run_or_read  # type: ignore[method-assign]


def _run_or_read(self: Fits) -> None:
    folder = os.environ.get("TESTS_CHOICES")
    if folder is None:
        return _run(self)
    path = Path(folder, _key_of(self))
    if not path.exists():
        _run(self)
        written = path.with_name(f"{path.name}.{os.getpid()}")
        written.write_bytes(pickle.dumps((self.tried, self.ended)))
        written.rename(path)
    self.tried, self.ended = pickle.loads(path.read_bytes())  # noqa: S301
    return None


def _key_of(fits: Fits) -> str:
    task, hashed = fits.task, blake2b()
    for log in (task.train, task.validation):
        hashed.update(_bytes_of(log))
    wanted = (task.metric, task.k, task.seed, task.most_users, fits.settings)
    hashed.update(repr(wanted).encode())
    return hashed.hexdigest()[:32]


def _bytes_of(log: Interactions) -> bytes:
    columns = (log.user_idx, log.item_idx, log.weight, log.timestamp)
    return pickle.dumps((len(log.users), len(log.items), *columns))
