"""What is tested on S3, over the protocols of Google and of Azure: some of it, where they run here.

All of it: RECSYS_OBJECTS=gs (or abfs) python -m pytest tests/objects
"""

from collections.abc import Iterator

import pytest

from tests.objects.conftest import Service, started
from tests.objects.test_logs import (  # noqa: F401
    place,
    test_a_log_is_fetched_once_and_again_where_it_changed,
    test_who_may_not_or_cannot_reach_the_service_is_told_so,
)
from tests.objects.test_stores import (  # noqa: F401
    test_of_two_publishers_that_meet_at_current_one_is_refused_and_kept,
    test_of_writers_that_meet_under_one_condition_one_wins,
    test_what_one_machine_publishes_another_opens_activates_pins_and_prunes,
)


@pytest.fixture(scope="module", params=["gs", "abfs"])
def service(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Service]:
    with started(request.param, tmp_path_factory.mktemp(request.param)) as server:
        yield server
