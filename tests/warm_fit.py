"""Compiled loops that each fork of this process would read from their cache: a fit calls most.

Not where a fork is to compile them (`tests.faults.signalled`). With one core no thread starts.
Import this before `tests.warm`.
"""

from unittest.mock import patch

from recsys.models import ALS
from tests.worlds import tastes

with patch("recsys.base.threads.usable_cores", return_value=1):
    ALS(factors=4, iterations=1).fit(tastes().user_items())
