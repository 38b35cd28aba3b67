"""Where a fit on Spark has come to, in its folder: what was packed, and the last whole epoch."""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from recsys.base.durable import replace_text
from recsys.base.errors import DataError
from recsys.spark.blocks import Cut
from recsys.spark.half_sweep import Sums
from recsys.spark.pairs import SideName

_FIT, _EPOCH = "fit.json", "epoch.json"
_NAME = re.compile(r"(?:\d+|all)\.(?:users|items)-(\d+)(?:-half|-turned)?\.npy")


@dataclass(frozen=True, eq=False)
class Progress:
    """The last epoch that ended; its vectors lie in the folder.

    Parameters
    ----------
    scale : float
        What the rounded users are multiplied by.
    users, items : Sums
        Their longest rows, and their Gram matrices in the basis in which both are.
    """

    epoch: int
    loss: float
    scale: float
    users: Sums
    items: Sums


class Checkpoint:
    """The state of a fit in a folder.

    Parameters
    ----------
    described : mapping
        What is fitted; a folder of another fit is a DataError.
    replace : bool
        Whether what another fit left is removed instead.
    """

    def __init__(self, folder: Path, described: Mapping[str, Any], *, replace: bool) -> None:
        self._folder = folder
        self._described = json.loads(json.dumps(described))
        self.cuts: dict[SideName, Cut] | None = None
        found = _read(folder / _FIT)
        if found is not None and replace and self._other(found) is not None:
            self._remove()
            found = None
        if found is not None:
            self._require_same(found)
            self.cuts = {name: Cut(tuple(found["cuts"][name])) for name in ("users", "items")}
        self.progress = self._progress() if found is not None else None

    def _other(self, found: Mapping[str, Any]) -> str | None:
        """Return what is not the same of the fit in the folder."""
        differ = (name for name, value in self._described.items() if found.get(name) != value)
        return next(differ, None)

    def _require_same(self, found: Mapping[str, Any]) -> None:
        name = self._other(found)
        if name is not None:
            raise DataError(
                f"{self._folder}: expected a fit with {name} {self._described[name]}, got one with "
                f"{found.get(name)}; name another folder (spark.checkpoint), or remove this one"
            )

    def _remove(self) -> None:
        for name in (_EPOCH, _FIT):
            (self._folder / name).unlink(missing_ok=True)
        for name in ("vectors", "users", "items"):
            shutil.rmtree(self._folder / name, ignore_errors=True)

    def packed(self, cuts: Mapping[SideName, Cut]) -> None:
        """Note that all pairs are packed."""
        edges = {name: list(cut.edges) for name, cut in cuts.items()}
        replace_text(self._folder / _FIT, json.dumps({**self._described, "cuts": edges}))

    def reached(self, progress: Progress) -> None:
        """Note an epoch whose vectors are written, and remove those of the epochs before it."""
        text = json.dumps(
            {
                "epoch": progress.epoch,
                "loss": progress.loss,
                "scale": progress.scale,
                "users": _described(progress.users),
                "items": _described(progress.items),
            }
        )
        replace_text(self._folder / _EPOCH, text)
        for path in (self._folder / "vectors").iterdir():
            match = _NAME.fullmatch(path.name)
            if match is not None and int(match[1]) < progress.epoch:
                path.unlink(missing_ok=True)

    def _progress(self) -> Progress | None:
        found = _read(self._folder / _EPOCH)
        if found is None:
            return None
        users, items = (
            Sums(0.0, 0.0, found[side]["longest"], np.array(found[side]["gram"]))
            for side in ("users", "items")
        )
        return Progress(found["epoch"], found["loss"], found["scale"], users, items)


def _described(sums: Sums) -> dict[str, Any]:
    return {"longest": sums.longest, "gram": sums.gram.tolist()}


def _read(path: Path) -> dict[str, Any] | None:
    try:
        found: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        return None
    except ValueError as error:
        raise DataError(
            f"{path}: expected what a fit on Spark has written, got {error}; remove the folder"
        ) from error
    return found
