"""Every case of the table, on one machine; `tests/spark` holds the reader on Spark to it."""

import warnings

import pytest

from recsys.errors import DataError
from recsys.logs import read_log
from tests.logs.cases import CASES, NOON, Case


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.name)
def test_a_log_is_read_as_the_table_says(tmp_path, case: Case):
    folder = case.write(tmp_path / "log")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", RuntimeWarning)
        if case.error is not None:
            with pytest.raises(DataError) as caught:
                read_log(folder, now=NOON + 86_400, **case.settings)
            assert case.error in str(caught.value)
            return
        log = read_log(folder, now=NOON + 86_400, **case.settings)
    assert log.row_counts.rejected == case.rejected
