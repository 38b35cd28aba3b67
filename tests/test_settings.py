"""The settings: lists of names are those of the tables elsewhere, and each range is checked."""

from dataclasses import is_dataclass
from typing import Any, get_type_hints

import pytest

from recsys.base.errors import ConfigError
from recsys.config import TABLES, Settings
from recsys.evaluation.metrics import METRICS
from recsys.monitoring import DEFAULT_LIMITS
from recsys.settings import (
    COLUMN_NAMES,
    MEASURE_NAMES,
    METRIC_NAMES,
    CompareSettings,
    GateSettings,
    IndexSettings,
    LogSettings,
    NightlySettings,
    SplitSettings,
)


def test_names_are_those_of_the_tables_elsewhere() -> None:
    assert tuple(METRICS) == METRIC_NAMES
    assert set(MEASURE_NAMES) == set(DEFAULT_LIMITS)
    assert len(MEASURE_NAMES) == len(DEFAULT_LIMITS)


def test_the_page_has_the_tables_in_the_order_of_the_config() -> None:
    import recsys.settings as page

    on_page = [kind for kind in vars(page).values() if is_dataclass(kind)]
    of_config = [kind for kind in get_type_hints(Settings).values() if kind in on_page]
    # That of the log comes from a page of its own.
    in_order = [kind for kind in of_config if kind.__module__ == page.__name__]
    assert in_order == [kind for kind in on_page if kind in in_order]
    assert len(of_config) == len(TABLES) - 1  # but for the model, which is its own page


@pytest.mark.parametrize(
    ("settings", "values", "message"),
    [
        (LogSettings, {"format": "xml"}, "log.format: expected one of auto, parquet, csv, jsonl"),
        (LogSettings, {"half_life_days": -1}, "log.half_life_days: expected above 0, got -1"),
        (LogSettings, {"half_life_days": float("nan")}, "log.half_life_days: expected above 0"),
        (LogSettings, {"since": "May"}, "log.since: expected an ISO 8601 date .*, got 'May'"),
        (
            LogSettings,
            {"columns": {"user": "u"}},
            f"log.columns: expected our name on the left, one of {', '.join(COLUMN_NAMES)}, "
            "got 'user'",
        ),
        (
            LogSettings,
            {"max_rejected_share": 2},
            "log.max_rejected_share: expected a share from 0 to 1, got 2",
        ),
        (
            SplitSettings,
            {"test_fraction": 0},
            "evaluation.test_fraction: expected a share between 0 and 1, got 0",
        ),
        (
            IndexSettings,
            {"target_recall": 0},
            "index.target_recall: expected above 0 and at most 1, got 0",
        ),
        (IndexSettings, {"head_share": 1}, "index.head_share: expected at least 0 and below 1"),
        (IndexSettings, {"seed": 2**31}, r"index.seed: expected 0 to 2\*\*31 - 1, got 2147483648"),
        (GateSettings, {"off": ["volum"]}, "gates.off: expected some of .*did you mean 'volume'"),
        (
            GateSettings,
            {"min_coverage": 1},
            "gates.min_coverage: expected a share from 0, below 1, got 1",
        ),
        (
            CompareSettings,
            {"models": ["als", "svd", "popularity"], "baseline": "bpr"},
            "compare.baseline: expected one of als, svd, pop",
        ),
        (NightlySettings, {"keep": 0}, "nightly.keep: expected 1 or more, got 0"),
        (NightlySettings, {"log_level": "loud"}, "nightly.log_level: expected one of debug, info"),
    ],
)
def test_a_range_is_checked(settings: Any, values: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        settings(**values)
