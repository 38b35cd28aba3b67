"""A split that came as two files: brought to the common form, and held to what it says it is."""

from dataclasses import replace
from typing import Literal

from recsys.errors import DataError
from recsys.logs.held_out import Split, express, require_both_sides
from recsys.logs.interactions import Interactions, Part
from recsys.logs.leaks import require_time_order
from recsys.logs.roles import ProtocolName


def split_given(
    train_log: Interactions,
    test_log: Interactions,
    *,
    role: Literal["validation", "test"] = "test",
    protocol: ProtocolName = "given",
) -> Split:
    """Bring two logs that were read from separate files to the common form of a split.

    Parameters
    ----------
    train_log, test_log : Interactions
        Each with its own vocabulary; ids are compared in either of their forms.
    role : {"validation", "test"}
        What the second log is there for: to choose on, or to measure with.
    protocol : {"given", "time", "last", "random", "folds", "users"}
        How the two were made. "time" and "last" are checked where both have timestamps; "given"
        promises nothing.

    Returns
    -------
    train, test : Interactions
        In the form that `recsys.logs.held_out` describes.

    Raises
    ------
    DataError
        If one side is empty, nothing of test_log concerns the users and items of train_log, the
        two are not in the order that the protocol promises, or a test part is given to train or to
        choose on.
    """
    require_both_sides(len(train_log), len(test_log), "split_given")
    _require_no_test_part(train_log, "train on")
    if role == "validation":
        _require_no_test_part(test_log, "choose on")
    train = replace(train_log.compact(), part=Part("train", protocol))
    held = replace(test_log, part=Part(role, protocol))
    user_row_of = train.users.rows(test_log.users.tolist())
    item_row_of = train.items.rows(test_log.items.tolist())
    test = express(train, held, user_row_of, item_row_of, "split_given")
    require_time_order(train, test, "split_given")
    return train, test


def _require_no_test_part(log: Interactions, purpose: str) -> None:
    if log.part is not None and log.part.role == "test":
        raise DataError(
            f"split_given: expected a log to {purpose}, got the test part of a split "
            f"({log.part.protocol}); keep test for the one measurement at the end"
        )
