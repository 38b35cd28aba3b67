"""Lines of the log: JSON for programs, text for a terminal, and never a wait for who reads them.

A line has time, level, pid and event; a line of a request also its id, route, status and seconds.
"""

import logging
import logging.config
import sys
import traceback
from collections.abc import Callable, Mapping
from datetime import UTC, datetime
from multiprocessing.util import Finalize
from queue import SimpleQueue
from threading import Event, Thread
from time import monotonic
from typing import Any, TextIO

from recsys.base.progress import printable, printable_json
from recsys.base.service_settings import ServiceSettings

_MOST_WAITING = 10_000  # lines
_MOST_PER_SECOND = 20  # of one event: more says nothing new, and fills a disk
_END_SECONDS = 2.0
_TEXT = "%(asctime)s %(levelname)s [%(process)d] %(message)s"


class JsonLines(logging.Formatter):
    """Writes a record as one object of JSON."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line; what is None is left out."""
        time = datetime.fromtimestamp(record.created, UTC).isoformat(timespec="milliseconds")
        line = {
            "time": time,
            "level": record.levelname.lower(),
            "pid": record.process,
            "event": record.getMessage(),
        }
        return printable_json(line | _facts_of(record))


class TextLines(logging.Formatter):
    """Writes a record for people."""

    def __init__(self) -> None:
        super().__init__(_TEXT)

    def format(self, record: logging.LogRecord) -> str:
        """Return the line, and those of an error after it."""
        facts = _facts_of(record)
        error = facts.pop("error", None)
        shown = "".join(f" {name}={fact}" for name, fact in facts.items())
        plain = logging.makeLogRecord({**record.__dict__, "exc_info": None, "exc_text": None})
        line = printable(super().format(plain) + shown, one_line=True)
        return line if error is None else f"{line}\n{printable(str(error))}"


def config_of(settings: ServiceSettings) -> dict[str, Any]:
    """Return what `logging.config` takes: all lines to stderr, ours and those of others."""
    is_text = settings.log_format == "text" or (
        settings.log_format == "auto" and sys.stderr.isatty()
    )
    logger = {"handlers": ["stderr"], "level": "INFO", "propagate": False}
    return {
        "version": 1,
        "disable_existing_loggers": False,
        "filters": {"few": {"()": FewOfEach}},
        "formatters": {"line": {"()": TextLines if is_text else JsonLines}},
        "handlers": {
            "stderr": {
                "class": "logging.StreamHandler",
                "formatter": "line",
                "filters": ["few"],
                "stream": "ext://sys.stderr",
            }
        },
        "loggers": {"recsys": logger, "_granian": dict(logger)},
        "root": {"handlers": ["stderr"], "level": "WARNING"},
    }


def write_from_a_thread() -> None:
    """Let the lines of this process be written by a thread; warnings and crashes become lines."""
    loggers = [logging.getLogger(name) for name in ("", "recsys", "_granian")]
    (direct,) = loggers[0].handlers
    waiting = WaitingLines(sys.stderr, direct.formatter)
    waiting.filters = direct.filters
    for logger in loggers:
        logger.handlers = [waiting]
    logging.captureWarnings(True)


def _facts_of(record: logging.LogRecord) -> dict[str, Any]:
    facts: Mapping[str, Any] = getattr(record, "facts", {})
    found = {name: fact for name, fact in facts.items() if fact is not None}
    if record.exc_info and record.exc_info[1] is not None:
        is_private = getattr(record, "is_private", False)
        found["error"] = _traceback(record.exc_info[1], is_private=is_private)
    return found


def _traceback(error: BaseException, *, is_private: bool) -> str:
    """Return the lines of a traceback; of a private one, no message, as it may quote an id."""
    if not is_private:
        return "".join(traceback.format_exception(error)).strip()
    frames = "".join(traceback.format_tb(error.__traceback__))
    return f"{frames}{type(error).__qualname__}"


class FewASecond:
    """Says which lines of an event are among the first of this second.

    Parameters
    ----------
    now : callable
        Returns seconds.
    """

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        self._now = now
        self._second = -1
        self._n: dict[str, int] = {}
        self._left_out = 0  # and not said yet

    def take(self, event: str) -> int | None:
        """Return how many lines were left out before this one; None where it is left out too."""
        second = int(self._now())
        if second != self._second:
            self._left_out += sum(max(n - _MOST_PER_SECOND, 0) for n in self._n.values())
            self._n, self._second = {}, second
        n = self._n[event] = self._n.get(event, 0) + 1
        if n > _MOST_PER_SECOND:
            return None
        left_out, self._left_out = self._left_out, 0
        return left_out


class FewOfEach(logging.Filter):
    """Lets some lines a second of each event through, and counts those it left out."""

    def __init__(self, now: Callable[[], float] = monotonic) -> None:
        super().__init__()
        self._few = FewASecond(now)

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether there were few such lines in this second."""
        if record.levelno < logging.WARNING or getattr(record, "is_wanted", False):
            return True
        left_out = self._few.take(str(record.msg))
        if left_out is None:
            return False
        if left_out:
            facts: Mapping[str, Any] = getattr(record, "facts", {})
            before = facts.get("lines_left_out") or 0  # by who wrote the line
            record.facts = {**facts, "lines_left_out": left_out + before}
        return True


class WaitingLines(logging.Handler):
    """Writes lines from a thread of its own: a reader that is stuck does not hold up answers.

    Where too many wait, new ones are left out. What waits is written when the process ends.
    """

    def __init__(self, stream: TextIO, formatter: logging.Formatter | None) -> None:
        super().__init__()
        self.setFormatter(formatter)
        self._stream = stream
        self._waiting: SimpleQueue[logging.LogRecord | None] = SimpleQueue()
        self._written = Event()
        Thread(target=self._write, name="recsys-log", daemon=True).start()
        Finalize(None, self.flush, exitpriority=10)

    def emit(self, record: logging.LogRecord) -> None:
        """Put a record in the queue."""
        if self._waiting.qsize() < _MOST_WAITING:
            self._waiting.put(record)

    def flush(self) -> None:
        """Wait until what was put in the queue is written, for a while."""
        self._written.clear()
        self._waiting.put(None)
        self._written.wait(_END_SECONDS)

    def _write(self) -> None:
        while True:
            record = self._waiting.get()
            if record is None:
                self._written.set()
                continue
            try:
                self._stream.write(self.format(record) + "\n")
                self._stream.flush()
            except (OSError, ValueError):  # nobody reads any more
                continue
