"""What the words for types of events say: which undo one, and what the others weigh."""

import re

from recsys.logs.column_kinds import Column
from recsys.logs.columns import plain_name

_UNDONE = re.compile(
    "cancel|refund|return|remove|unlike|dislike|unfollow|unsubscribe|delete|downvote|thumbs?down"
    "|^hide|^hidden|^skip|impression|exposure|^show|^display|block|report"
)
_STRENGTHS = {
    "view|click|pv|visit|open|read|play|listen|watch|detail": 1.0,
    "like|fav|save|bookmark|wish|share|comment|follow|collect|thumbs?up|vote": 3.0,
    "cart|basket|bag": 4.0,
    "buy|purchase|order|transaction|checkout|sale|convert|conversion|paid|subscri": 6.0,
}
"""Types of events by their names, and what they weigh where weights are proposed."""
_VERDICT = re.compile("recommend|liked?$|positive|favou?rite|thumb|upvote|vote$|satisf")
_YES_AND_NO = ({"true", "false"}, {"yes", "no"}, {"y", "n"}, {"t", "f"}, {"0", "1"}, {"1.0", "0.0"})
_YES = ("true", "yes", "y", "t", "1", "1.0")


def undoes(name: str) -> bool:
    """Whether a type of events undoes another one, or is no act of the user."""
    return _UNDONE.search(name.lower()) is not None


def are_actions(column: Column) -> bool:
    """Whether most of the few words of a column are what users do."""
    known = sum(bool(strength(one) or undoes(one)) for one in column.counts)
    return known > len(column.counts) / 2


def strength(name: str) -> float | None:
    """Return what a type of events weighs where weights are proposed; None of an unknown one."""
    for words, weight in reversed(_STRENGTHS.items()):
        if re.search(words, name.lower()):
            return weight
    return None


def verdicts(column: Column) -> dict[str, float] | None:
    """Return the weights of a column that says whether an item was liked: no is 0, yes is 1."""
    are_bools = any(isinstance(one, bool) for one in column.present[:1])
    texts = {one.lower() if are_bools else one for one in column.counts}
    is_one = (
        _VERDICT.search(plain_name(column.name)) and {one.lower() for one in texts} in _YES_AND_NO
    )
    return {one: float(one.lower() in _YES) for one in sorted(texts)} if is_one else None
