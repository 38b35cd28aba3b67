"""A map as bytes for its page: quantized, joined, compressed, and cut to a budget.

A length, a heading in JSON that names each array with its type, place and length, and the arrays,
each at a multiple of 4; all of it deflated, as browsers inflate it themselves.
"""

import json
import struct
import zlib
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.maps import Coloring, MapPicture

MOST_BYTES = 4_000_000
"""Of the file of a map."""

_OF_BASE64 = 0.745  # 3/4, and a little for the page around it
_STEPS = 65_535  # that a coordinate and a number are told apart in
_SHORT = (80, 40)  # characters of titles, where they must be cut
_TYPES = {np.dtype("<u1"): "u1", np.dtype("<u2"): "u2", np.dtype("<u4"): "u4"}


@dataclass(frozen=True)
class _Detail:
    """How much of a picture is written."""

    n_neighbours: int  # points that have any, the most popular ones
    n_named: int
    most_characters: int

    def notes(self, picture: MapPicture) -> list[str]:
        """Return what is left out."""
        found, n = [], len(picture.ids)
        if self.n_neighbours < n:
            found.append(f"nearest by cosine for the {self.n_neighbours:,} most popular")
        if self.most_characters <= max(_SHORT):
            found.append(f"titles of {self.most_characters} characters at most")
        if self.n_named < n:
            found.append(f"names for the {self.n_named:,} most popular")
        return found


def map_data(picture: MapPicture, most_bytes: int = MOST_BYTES) -> bytes:
    """Return a picture in at most so many bytes of base64.

    Where it is larger, first the neighbours of the least popular points are left out, then titles
    are cut, then those of the least popular are left out; the page says so.
    """
    n = len(picture.ids)
    detail = _Detail(n, n, 1_000)
    while True:
        packed = _packed(picture, detail)
        if len(packed) <= most_bytes * _OF_BASE64 - 60_000 or not detail.n_named:
            return packed
        detail = _less(detail)


def _less(detail: _Detail) -> _Detail:
    if detail.n_neighbours:
        fewer = detail.n_neighbours // 2
        return replace(detail, n_neighbours=fewer if fewer > 500 else 0)
    shorter = next((most for most in _SHORT if most < detail.most_characters), None)
    if shorter is not None:
        return replace(detail, most_characters=shorter)
    return replace(detail, n_named=detail.n_named // 2)


def _packed(picture: MapPicture, detail: _Detail) -> bytes:
    low, high = picture.positions.min(axis=0), picture.positions.max(axis=0)
    width = float(max(*(high - low).tolist(), 1e-6))
    left, bottom = low.tolist()
    arrays: dict[str, NDArray[Any]] = {
        "x": _quantized(picture.positions[:, 0], left, width),
        "y": _quantized(picture.positions[:, 1], bottom, width),
        "popularity": np.minimum(picture.popularity, 2**32 - 1).astype("<u4"),
        "neighbours": _rows(picture.neighbours[: detail.n_neighbours], len(picture.ids)),
        "ids": _texts(picture.ids[: detail.n_named], detail.most_characters),
    }
    if picture.titles is not None:
        arrays["titles"] = _texts(picture.titles[: detail.n_named], detail.most_characters)
    if picture.density is not None:
        arrays["density"] = picture.density.astype("<u4").ravel()
    colorings = []
    for number, one in enumerate(picture.colorings):
        described, arrays[f"coloring{number}"] = _coloring(one)
        colorings.append(described)
    heading = {
        "version": picture.version,
        "kind": picture.kind,
        "n": len(picture.ids),
        "nAll": picture.n_all,
        "perPoint": picture.neighbours.shape[1],
        "extent": ((high - low) / width).tolist(),
        "cells": 0 if picture.density is None else len(picture.density),
        "colorings": colorings,
        "regions": [
            [one.name, (one.x - left) / width, (one.y - bottom) / width, one.n, one.level]
            for one in picture.regions
        ],
        "left": detail.notes(picture),
    }
    return zlib.compress(_joined(heading, arrays), 9)


def _joined(heading: Mapping[str, Any], arrays: Mapping[str, NDArray[Any]]) -> bytes:
    places, parts, at = {}, [], 0
    for name, array in arrays.items():
        content = array.tobytes()
        places[name] = [_TYPES[array.dtype], at, len(array)]
        padding = -len(content) % 4
        parts.append(content + b"\0" * padding)
        at += len(content) + padding
    described = json.dumps({**heading, "arrays": places}).encode()
    described += b" " * (-len(described) % 4)
    return b"".join([struct.pack("<I", len(described)), described, *parts])


def _quantized(values: NDArray[np.floating], low: float, width: float) -> NDArray[Any]:
    steps = np.clip((values - low) / width * _STEPS, 0, _STEPS)
    return np.asarray(steps.round(), "<u2")


def _rows(neighbours: NDArray[np.int32], n: int) -> NDArray[Any]:
    return neighbours.astype("<u2" if n <= 2**16 else "<u4").ravel()


def _texts(texts: list[str], most: int) -> NDArray[Any]:
    """Return texts joined by line feeds, each on one line and cut where it is too long."""
    lines = (" ".join(text.split())[: most + 1] for text in texts)
    cut = (line if len(line) <= most else f"{line[: most - 1]}…" for line in lines)
    return np.frombuffer("\n".join(cut).encode("utf-8", "replace"), "<u1")


def _coloring(one: Coloring) -> tuple[dict[str, Any], NDArray[Any]]:
    """Return what the page knows of a coloring, and its values: 0 of a number is none."""
    described: dict[str, Any] = {"name": one.name}
    if one.groups:
        described |= {"groups": list(one.groups), "isFirst": one.is_first_of_several}
        return described, one.values.astype("<u1")
    numbers = np.asarray(one.values, np.float64)
    known = np.isfinite(numbers)
    low, high = (float(ends(numbers[known])) if known.any() else 0.0 for ends in (np.min, np.max))
    described |= {"low": low, "high": high, "isLog": one.is_log}
    share = np.zeros(len(numbers))
    share[known] = (numbers[known] - low) / ((high - low) or 1.0)
    if one.is_log:
        share[known] = np.log(numbers[known] / low) / np.log(high / low)
    return described, np.where(known, 1 + share * (_STEPS - 1), 0).round().astype("<u2")
