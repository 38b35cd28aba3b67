"""Signals: heard while a command runs, and ignored in the moments after it."""

import os
import signal
import sys
from itertools import count

import pytest

from recsys.base import stopping
from recsys.base.stopping import StoppedError, check_stop, stoppable
from tests.forks import GOT_THROUGH, in_fork


@pytest.mark.parametrize("moment", range(16))
def test_a_signal_while_a_process_ends_does_not_kill_it(moment):
    """It comes before one of the lines that run after the command."""

    def run() -> None:
        lines = count()

        def traced(frame, event, _arg):
            if event == "line" and next(lines) == moment:
                os.kill(os.getpid(), signal.SIGTERM)
            return traced if frame.f_code.co_filename == stopping.__file__ else None

        with stoppable(watched=True):
            sys.settrace(traced)
        sys.settrace(None)
        if next(lines) <= moment:
            os.kill(os.getpid(), signal.SIGTERM)

    assert in_fork(run) == GOT_THROUGH


def test_a_signal_is_heard_between_steps():
    def run() -> None:
        with stoppable():
            os.kill(os.getpid(), signal.SIGTERM)
            with pytest.raises(StoppedError, match="stopped by SIGTERM"):
                check_stop()

    assert in_fork(run) == GOT_THROUGH
