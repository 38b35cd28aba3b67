"""Why an item is recommended: the parts of its score that come from each item of a history."""

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from recsys.serving.recommendations import ScoredItem, Source
from recsys.vectors import Id


@dataclass(frozen=True)
class Explanation:
    """The parts of a score; see `Recommender.explain`.

    Parameters
    ----------
    item_id : str or int
        The item that is explained.
    score : float
        Its score.
    parts : tuple of ScoredItem
        An item of the history and its part, the largest first; negative ones speak against it.
    rest : float
        What no item of the history has a part in, so that parts and rest sum to the score: the
        mean of a centered model or the popularity of the item, and rounding.
    source : {"personal", "fold_in"}
    version : str

    Examples
    --------
    >>> why = Explanation("i9", 0.5, (ScoredItem("i7", 0.4),), 0.1, "personal", "v")
    >>> why.score == sum(part for _, part in why.parts) + why.rest
    True
    """

    item_id: Id
    score: float
    parts: tuple[ScoredItem, ...]
    rest: float
    source: Source
    version: str

    def to_dict(self) -> dict[str, Any]:
        """Return plain types that JSON can hold."""
        return {
            "item_id": self.item_id,
            "score": self.score,
            "parts": [part._asdict() for part in self.parts],
            "rest": self.rest,
            "source": self.source,
            "version": self.version,
        }


def explanation(
    item_id: Id,
    score: float,
    history: list[Id],
    parts: NDArray[np.float64],
    source: Source,
    version: str,
) -> Explanation:
    """Put the parts in order; what they do not sum to is the rest."""
    order = np.argsort(-parts, kind="stable").tolist()
    listed = tuple(ScoredItem(history[place], float(parts[place])) for place in order)
    return Explanation(item_id, score, listed, score - float(parts.sum()), source, version)
