"""Ingest: from files or tables to interactions, every row accounted for.

::

    sources     files, globs, folders, tables  -> parts of one log
    text_logs   CSV and JSON lines             -> rows of text      (lines: exact line numbers)
    columns     the log's names and types      -> ours              (fields, sql: as DuckDB says it)
    parts       each row is judged: used, left out or rejected      (outcomes: why, in which order)
    judged_log  ids are numbered, rows become columns               (rejects: the file of the rest)
    cache       what became of a file's rows, kept for the next day
    ingest      `read_log` ties it together                         (session: DuckDB, its limits)
"""

from recsys.logs.reading.cache import LogCache
from recsys.logs.reading.ingest import read_log

__all__ = ["LogCache", "read_log"]
