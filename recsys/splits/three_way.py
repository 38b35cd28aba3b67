"""A log in three parts: train, validation to choose on, and test to measure with once.

The validation part is cut from train the way test was cut from the log, so that what is chosen on
it is chosen for the task that test asks about.
"""

from collections.abc import Callable
from dataclasses import replace
from typing import NamedTuple, TypeVar

from recsys.base.errors import ConfigError, DataError, briefly
from recsys.logs.interactions import Interactions, require_interactions
from recsys.logs.session import warn
from recsys.settings import SplitName, SplitSettings
from recsys.splits.common import Split, in_rows_of_train
from recsys.splits.new_items import split_items
from recsys.splits.splitters import (
    n_tested,
    n_tested_by_time,
    n_with_items_to_spare,
    split_by_time,
    split_given,
    split_last,
    split_random,
)

_Settings = TypeVar("_Settings", bound=SplitSettings)
_ENOUGH_USERS = 100  # to measure on
_MOST_COUNTED = 2_000_000  # events, in a moment


class ThreeWaySplit(NamedTuple):
    """A log in three parts, all over the users and items of `train`.

    Parameters
    ----------
    train : Interactions
        What is fitted while something is being chosen.
    validation : Interactions
        What is chosen on: settings, epochs, models.
    test : Interactions
        For a model that was fitted on `train` alone.
    whole : (Interactions, Interactions)
        Train with validation in it, and test over its users and items: for the last fit.
    """

    train: Interactions
    validation: Interactions
    test: Interactions
    whole: Split


def split_parts(
    log: Interactions, settings: SplitSettings, test: Interactions | None = None
) -> ThreeWaySplit:
    """Cut a log into train, validation and test the way the settings say.

    Parameters
    ----------
    settings : SplitSettings
        Such as ``Settings.evaluation``.
    test : Interactions, optional
        The test part, for the split "given".

    Raises
    ------
    DataError
        If a part would be empty.
    ConfigError
        If the split is "none", or a test part is missing or not expected.

    Examples
    --------
    ::

        parts = split_parts(log, SplitSettings(split="last"))
        chosen = ...  # fitted on parts.train, compared on parts.validation
        train, test = parts.whole
        evaluate(chosen.fit(train), train, test)
    """
    settings = decide_split(log, settings, test)
    whole = split_log(log, settings, test)
    return split_validation(whole, lambda train: _validation_of(train, settings))


def split_validation(whole: Split, by: Callable[[Interactions], Split]) -> ThreeWaySplit:
    """Cut a validation part from the train part of a split.

    Parameters
    ----------
    whole : (Interactions, Interactions)
        Train and test, by any split.
    by : callable
        A split, such as `split_last`.
    """
    if not isinstance(whole, tuple) or len(whole) != 2:
        raise DataError(
            "split_validation: expected train and test, as a split returns them, got "
            f"{type(whole).__name__}"
        )
    require_interactions("split_validation", *whole)
    train, validation = by(whole[0])
    test = in_rows_of_train(
        train,
        whole[1],
        train.users.rows_of(whole[0].users),
        train.items.rows_of(whole[0].items),
        "split_validation",
    )
    return ThreeWaySplit(train, validation, test, whole)


def decide_split(
    log: Interactions, settings: _Settings, test: Interactions | None = None
) -> _Settings:
    """Return the settings with the split "auto" decided; warn where it is not by time.

    By time, where that tests 100 users, or half of those that can be tested; else by each user's
    last items, as where users are sessions, or at random where the log has no times. `test` is as
    in `split_log`.
    """
    require_interactions("split", log)
    if settings.split != "auto":
        return settings
    if test is not None:
        return replace(settings, split="given")
    name, reason = _decided(log, settings)
    if reason is not None:
        warn(
            f"log: {reason}; to ask for this split, or another: --split {name} (evaluation.split "
            "in the TOML)"
        )
    return replace(settings, split=name)


def _decided(log: Interactions, settings: SplitSettings) -> tuple[SplitName, str | None]:
    """Return the split that suits a log, and why it is not the one by time."""
    if log.session_gap_minutes is not None:
        return "last", "its users are sessions, so the last item of each is what is tested on"
    at_random = "a random share of each user's items is what is tested on"
    if log.timestamp is None:
        return "random", f"it has no timestamps, so {at_random}"
    if len(log) == 0 or log.timestamp.min() == log.timestamp.max():
        return "random", f"all its events have one timestamp, so {at_random}"
    n_users = n_tested_by_time(log, settings.test_fraction)
    if n_users < _ENOUGH_USERS:
        n_others = n_with_items_to_spare(log, settings.last)
        if n_users < n_others / 2:
            return "last", (
                f"split by time, {n_users:,} users would be tested, and {n_others:,} can be, so "
                "each user's last items are what is tested on"
            )
    return "time", None


def say_few_tested(
    log: Interactions, settings: SplitSettings, test: Interactions | None = None
) -> str | None:
    """Return a sentence where a split tests fewer than 100 users, with one that tests more.

    None where it tests enough, and of a split that is given, or of none. `test` is as in
    `split_log`. Of a log with millions of events nothing is counted.
    """
    name: SplitName = settings.split
    if name == "auto":
        name = "given" if test is not None else _decided(log, settings)[0]
    if name in ("given", "none") or not 0 < len(log) <= _MOST_COUNTED:
        return None
    n_others = n_with_items_to_spare(log, settings.last)
    if name != "time" and n_others >= _ENOUGH_USERS:
        return None
    n_users = _n_tested(log, replace(settings, split=name))
    if n_users >= _ENOUGH_USERS:
        return None
    few = "only 1 user is tested" if n_users == 1 else f"only {n_users:,} users are tested"
    few = f"{few}, too few to tell models apart that are nearly as good"
    if n_users == 0:
        few = "no user can be tested"
    elif n_others < _ENOUGH_USERS:
        n_others = _n_tested(log, replace(settings, split="last"))
    if n_others > n_users and name != "last":
        return f"{few}; --split last (evaluation.split in the TOML) tests {n_others:,}"
    if n_users == 0:
        return f"{few}; --split none (evaluation.split in the TOML) publishes without a test"
    return f"{few}; no other split tests more, so go by the intervals"


def said_of_split(settings: SplitSettings) -> str:
    """Return what a split holds out to be tested on, with the option that asks for it.

    Examples
    --------
    >>> said_of_split(SplitSettings("time"))
    'tested on the last 20 % of the events (--split time)'
    """
    share, last = f"{100 * settings.test_fraction:g} %", settings.last
    held_out = {
        "time": f"the last {share} of the events",
        "last": "each user's last " + ("item" if last == 1 else f"{last} items"),
        "random": f"a random {share} of each user's items",
        "items": f"{share} of the items, and of each user's others",
        "given": "the test part that was given",
    }
    if settings.split not in held_out:
        return ""
    return f"tested on {held_out[settings.split]} (--split {settings.split})"


def _n_tested(log: Interactions, settings: SplitSettings) -> int:
    """Count the users that a split of a small log tests."""
    if settings.split == "time":
        return n_tested_by_time(log, settings.test_fraction)
    try:
        return n_tested(*split_log(log, settings))
    except DataError:  # as nothing is held out
        return 0


def require_split(settings: SplitSettings) -> None:
    """Raise a ConfigError if nothing is to be tested: the split is "none"."""
    if settings.split == "none":
        raise ConfigError(
            'evaluation.split: expected a way to split, got "none"; choose "auto", "time", "last", '
            '"random" or "given" (--split)'
        )


def split_log(
    log: Interactions, settings: SplitSettings, test: Interactions | None = None
) -> Split:
    """Split a log into train and test the way the settings say.

    Parameters
    ----------
    test : Interactions, optional
        The test part, for the split "given".

    Raises
    ------
    DataError
        If one side would be empty.
    ConfigError
        If the split is "none", or a test part is missing or not expected.
    """
    settings = decide_split(log, settings, test)
    if (settings.split == "given") != (test is not None):
        raise ConfigError(
            'evaluation.split: "given" goes with a test part (data.test), and only with it; '
            f"got {briefly(settings.split)} {'with' if test is not None else 'without'} one"
        )
    require_split(settings)
    if test is not None:
        return split_given(log, test)
    if settings.split == "last":
        return split_last(log, n=settings.last)
    if settings.split == "random":
        return split_random(log, test_fraction=settings.test_fraction, seed=settings.seed)
    if settings.split == "items":
        share = settings.test_fraction
        return split_items(log, share=share, test_fraction=share, seed=settings.seed)
    return split_by_time(log, test_fraction=settings.test_fraction)


def _validation_of(train: Interactions, settings: SplitSettings) -> Split:
    name: SplitName = settings.split
    if settings.validation != "same":
        name = settings.validation
    elif name == "given":
        name = "random" if train.timestamp is None else "time"
    return split_log(train, replace(settings, split=name))
