"""Lists of a version for its report: some users with their history, and how far lists reach."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from recsys.base.charts import Line, LinePlot
from recsys.serving import Recommendations, Recommender
from recsys.store import Content

_N_USERS, _LENGTH = 10, 10
_LISTS = 1_000
_PLACES = 60  # of a curve
_MOST_TITLE = 120  # characters


@dataclass(frozen=True)
class SampleUser:
    """A user with history and list, side by side.

    Parameters
    ----------
    user_id : str
    n_seen : int
        Items of the whole history, of which the first ones are shown.
    history : sequence of str
        Titles, or else ids.
    source : str
        Where the list came from.
    items : sequence of (str, str)
        The title, or else the id, of each item of the list, and the item of the history that is
        its reason; empty without one.
    """

    user_id: str
    n_seen: int
    history: Sequence[str]
    source: str
    items: Sequence[tuple[str, str]]


def sample_users(
    content: Content, recommender: Recommender, seed: int
) -> tuple[list[SampleUser], str]:
    """Return ten users and the rule that chose them: one of each tenth by length of history."""
    n_seen = np.diff(content.users.seen.starts)
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.permutation(len(n_seen)), n_seen))  # random among equals
    parts = [part for part in np.array_split(order, _N_USERS) if len(part)]
    rows = [int(rng.choice(part)) for part in parts]
    found = [
        _sample_user(recommender, user_id, int(n_seen[row]))
        for row, user_id in zip(rows, content.users.ids.tolist(np.array(rows, int)), strict=True)
    ]
    rule = (
        f"{len(found)} users, drawn with seed {seed}: one of each tenth by the length of the "
        "history, the shortest first. Of a history the first ten items are shown."
    )
    return found, rule


def _sample_user(recommender: Recommender, user_id: str | int, n_seen: int) -> SampleUser:
    history = _titles(recommender.history(user_id, _LENGTH)) if n_seen else []
    listed = recommender.recommend(user_id, _LENGTH)
    reasons = [
        "" if reason is None else _named(title, reason.item_id)
        for reason, title in zip(listed.reasons, listed.reason_titles, strict=True)
    ]
    items = list(zip(_titles(listed), reasons, strict=True))
    return SampleUser(_short(str(user_id)), n_seen, history, listed.source, items)


def _titles(listed: Recommendations) -> list[str]:
    return [_named(title, item.item_id) for item, title in zip(listed, listed.titles, strict=True)]


def _named(title: object, item_id: str | int) -> str:
    """Return the title of an item, or its id where it has none that can be seen."""
    text = "" if title is None else str(title)
    return _short(text if text.strip() else str(item_id))


def _short(text: str) -> str:
    return text if len(text) <= _MOST_TITLE else f"{text[: _MOST_TITLE - 1]}…"


def long_tail(content: Content, recommender: Recommender, seed: int) -> tuple[LinePlot, list[str]]:
    """Return which share of the log, and of lists, the most popular items have, and sentences."""
    popularity = content.items.popularity
    users, n_items = content.users.ids, len(popularity)
    rng = np.random.default_rng(seed)
    rows = np.sort(rng.permutation(len(users))[:_LISTS])
    batch = recommender.recommend_many(users.tolist(rows), _LENGTH)
    listed = batch.lists.item_idx[batch.lists.item_idx >= 0]
    counts = np.bincount(listed, minlength=n_items)
    order = np.argsort(-popularity, kind="stable")
    lines = [_line("users in the log", popularity[order]), _line("places in lists", counts[order])]
    top = max(1, n_items // 100)
    sentences = [
        f"The lists of {len(rows):,} users drawn with seed {seed}, {_LENGTH} items each, hold "
        f"{np.count_nonzero(counts):,} of {n_items:,} items.",
        f"The {top:,} most popular {'item has' if top == 1 else 'items have'} "
        f"{_share(popularity[order], top):.1%} of the pairs of user and item, and "
        f"{_share(counts[order], top):.1%} of the places in lists.",
    ]
    title = "the most popular items, and what they have"
    return LinePlot(title, "% of the items", "% of all", lines), sentences


def _line(name: str, counts: NDArray[np.integer]) -> Line:
    """Return the share of the first items, by how many of them: from 0 to 100 per cent."""
    total = np.concatenate([[0], np.cumsum(counts, dtype=np.float64)])
    places = np.unique(np.linspace(0, len(counts), _PLACES).astype(np.int64))
    shares = 100 * total[places] / (total[-1] or 1.0)
    return Line(name, (100 * places / len(counts)).tolist(), shares.tolist(), has_points=False)


def _share(counts: NDArray[np.integer], top: int) -> float:
    return float(counts[:top].sum() / (counts.sum() or 1))
