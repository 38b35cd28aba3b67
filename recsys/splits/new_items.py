"""A split that holds items out whole: what is known of them is what they are, not who had them."""

import numpy as np

from recsys.base.checks import require_whole
from recsys.base.errors import DataError
from recsys.logs.interactions import Interactions, require_interactions
from recsys.splits.common import Split, split_by_mask
from recsys.splits.splitters import (
    drawn_dislikes,
    drawn_of_each_user,
    require_fraction,
    split_by_time,
)


def split_items(
    log: Interactions,
    *,
    share: float = 0.2,
    since: str | int | None = None,
    test_fraction: float = 0.2,
    seed: int = 0,
) -> Split:
    """Hold items out whole, and of each user a random share of the others.

    The held-out events of items that train does not know, by users whom it does know, are
    ``test.split_info.new_items``, over the users of train and those items: what a cold catalogue is
    measured with. The other test events measure the warm one, as those of any split; see
    `recsys.evaluate_new_items`.

    Parameters
    ----------
    share : float
        Of the items that are held out, between 0 and 1, drawn at random.
    since : str or int, optional
        In place of a draw: the items that first appear from this time on, in ISO 8601 or unix
        seconds. All events from then on are test, as by `recsys.split_by_time`, so that train does
        not know the future of the others either.
    test_fraction : float
        Share of each user's other items that are test, between 0 and 1; not used with `since`.
    seed : int
        Of the draws. The same seed gives the same split.

    Raises
    ------
    DataError
        If a side would be empty, or no item is held out.

    Examples
    --------
    ::

        train, test = recsys.split_items(log, share=0.2)
        print(recsys.evaluate_new_items(embeddings, train, test))  # rows of train, then the new
    """
    require_interactions("split_items", log)
    require_fraction("split_items", "share", share)
    require_fraction("split_items", "test_fraction", test_fraction)
    require_whole("split_items: seed", seed, least=0)
    if since is not None:
        parts = split_by_time(log, at=since)
    else:
        rng = np.random.default_rng(seed)
        is_held = np.zeros(len(log.items), dtype=np.bool_)
        is_held[rng.permutation(len(log.items))[: round(share * len(log.items))]] = True
        in_test = is_held[log.item_idx]
        warm = np.flatnonzero(~in_test)
        in_test[warm] = drawn_of_each_user(log.select(warm), test_fraction, rng)
        dislikes = drawn_dislikes(log, test_fraction, rng)
        if log.dislikes is not None and dislikes is not None:
            dislikes |= is_held[log.dislikes.item_idx]
        what = f"split of {share:g} of the items"
        parts = split_by_mask(log, in_test, "items", what, dislikes)
    info = parts[1].split_info
    if info is None or info.new_items is None:
        what = f"a share of {share:g}" if since is None else f"the time {since}"
        raise DataError(
            "split_items: expected held-out items that users of train have, got none by "
            f"{what}; take a larger share, an earlier time, or a log with more items"
        )
    return parts
