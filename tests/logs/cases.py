"""Logs with everything that can be wrong with them: one table, to which all readers are held."""

import gzip
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from tests.logs.test_rejects import CSV_LINES, EVENTS, GOOD, JSON_LINES, NOON, REASONS, as_csv

Content = bytes | str | pa.Table


@dataclass(frozen=True)
class Case:
    name: str
    files: Mapping[str, Content]  # by their path in a folder, which is the log
    settings: Mapping[str, Any] = field(default_factory=dict)
    rejected: Mapping[str, int] = field(default_factory=dict)
    error: str | None = None  # what the message of the error has, where reading ends with one

    def write(self, folder: Path) -> Path:
        for name, content in self.files.items():
            path = folder / name
            path.parent.mkdir(parents=True, exist_ok=True)
            if isinstance(content, pa.Table):
                pq.write_table(content, path)
            else:
                path.write_bytes(content.encode() if isinstance(content, str) else content)
        return folder


ROWS = [GOOD] + [{**GOOD, **change} for change, _ in REASONS]
BY_REASON: dict[str, int] = {}
for _, reason in REASONS:
    if reason is not None:
        BY_REASON[reason] = BY_REASON.get(reason, 0) + 1
ALL = {"events": EVENTS, "max_rejected_share": 1.0}
LINES = b"\n".join([b"user_id,item_id,value"] + [line for line, _ in CSV_LINES])
TYPED = pa.table(
    {
        "user_id": [1.0, 1.5, None, 2.0**53],
        "item_id": pa.array([1, 2, 3, 4], pa.uint64()),
        "timestamp": [NOON] * 4,
    }
)
PAIRS = "user_id,item_id\n" + "".join(f"u{n % 7},{n}\n" for n in range(97))


def reasons(lines: list[Any]) -> dict[str, int]:
    found = [reason for _, reason in lines if reason]
    return {reason: found.count(reason) for reason in found}


def times(*values: Any) -> str:
    return "user_id,item_id,timestamp\n" + "".join(f"a,x,{value}\n" for value in values)


CASES = [
    Case("every reason in CSV", {"a.csv": as_csv(ROWS)}, ALL, BY_REASON),
    Case("every reason in JSON", {"a.jsonl": "\n".join(map(json.dumps, ROWS))}, ALL, BY_REASON),
    Case("every reason in Parquet", {"a.parquet": pa.Table.from_pylist(ROWS)}, ALL, BY_REASON),
    Case("every reason in gz", {"a.csv.gz": gzip.compress(as_csv(ROWS).encode())}, ALL, BY_REASON),
    Case("lines of CSV", {"a.csv": LINES}, {"max_rejected_share": 1.0}, reasons(CSV_LINES)),
    Case(
        "lines of JSON",
        {"a.jsonl": "\n".join(line for line, _ in JSON_LINES)},
        {"max_rejected_share": 1.0},
        reasons(JSON_LINES),
    ),
    Case(
        "typed columns",
        {"a.parquet": TYPED},
        {"max_rejected_share": 1.0},
        {"unreadable user_id": 1, "empty user_id": 1, "inexact user_id": 1},
    ),
    Case(
        "a key twice",
        {"a.jsonl": '{"user_id": 1, "item_id": 2}\n{"user_id": 1, "user_id": 2, "item_id": 2}\n'},
        {"max_rejected_share": 1.0},
        {"repeated key": 1},
    ),
    Case(
        "milliseconds, and a time in words",
        {"a.csv": times(NOON * 1000, "2023-11-14T22:00:00Z", "14/11/2023", NOON * 10**6)},
        {"timestamp_unit": "ms", "max_rejected_share": 1.0},
        {"unreadable timestamp": 1, "timestamp out of range": 1},
    ),
    Case(
        "dates written as numbers",
        {"a.csv": times(20231114, 202311, 2023, 20231399)},
        {"timestamp_unit": "date", "max_rejected_share": 1.0},
        {"unreadable timestamp": 1},
    ),
    Case("dates taken for seconds", {"a.csv": times(20231114, 20231115)}, {}, {}, "dates written"),
    Case(
        "a window of time",
        {"a.csv": times("2023-01-01", "2023-06-01", "2023-09-01")},
        {"since": "2023-02-01", "until": "2023-08-01"},
    ),
    Case(
        "visitors whom nobody knows",
        {"a.csv": "user_id,item_id\n,x\n  ,y\nNULL,x\na,x\n"},
        {"anonymous": "leave_out"},
    ),
    Case(
        "an unknown column",
        {"a.csv": "who,item_id\na,x\n"},
        {},
        {},
        "expected a column 'user_id'",
    ),
    Case(
        "too many rows that cannot be used",
        {"a.csv": PAIRS + ",1\n,2\n,3\n"},
        {},
        {},
        "3 rejected (3.00 %): empty user_id 3",
    ),
    Case(
        "too many in one of many files",
        {f"{n}.csv": PAIRS + (",1\n,2\n" if n == 7 else "") for n in range(9)},
        {},
        {},
        "7.csv: more rows are unusable",
    ),
    Case(
        "another header within",
        {"a.csv": "user_id,item_id\na,x\nitem_id,user_id\nx,a\n"},
        {},
        {},
        "line 3: the header is repeated in another order",
    ),
    Case(
        "files of which some are empty",
        {
            "0.csv": "",
            "1.csv": "user_id,item_id\n",
            "2.csv": PAIRS,
            "3.csv": "item_id,user_id\n1,a\n",
        },
    ),
    Case(
        "nothing but empty files", {"0.csv": "", "1.csv": "user_id,item_id\n"}, {}, {}, "is empty"
    ),
    Case(
        "folders with values",
        {
            "event=buy/day=1/a.csv": "user_id,item_id\na,x\nb,\n",
            "event=view/day=1/b.parquet": pa.table({"user_id": ["c"], "item_id": ["7"]}),
        },
        {"events": {"buy": 2.0, "view": 1.0}, "max_rejected_share": 1.0},
        {"empty item_id": 1},
    ),
    Case(
        "a column that one file lacks",
        {"0.csv": "user_id,item_id,value\na,x,1\n", "1.csv": "user_id,item_id\na,x\n"},
        {},
        {},
        "expected the same columns in each of its 2 files",
    ),
    Case(
        "a damaged file",
        {"0.csv": PAIRS, "1.csv.gz": gzip.compress(PAIRS.encode())[:-9]},
        {},
        {},
        "1.csv.gz: damaged or truncated gzip file",
    ),
    Case(
        "text in a Parquet file", {"0.csv": PAIRS, "1.parquet": "PAR1, he said"}, {}, {}, "Parquet"
    ),
    Case(
        "Western letters and a footer",
        {"a.csv": "user_id;item_id\ncafé;1,5\nnaïve;2\nœuvre;3\nTotal;3\n".encode("cp1252")},
    ),
]
