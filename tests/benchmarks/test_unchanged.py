"""The script that compares two trees sees every bit."""

import json
from pathlib import Path

import numpy as np
import pytest
import scipy.sparse as sp

from benchmarks.unchanged import Step, checksum, compared, differences, files_of, read

FLOATS = np.array([1.5, 0.0, np.nan], dtype=np.float32)
LIKE_NO_OTHER = [
    FLOATS,
    FLOATS.astype(np.float64),
    FLOATS * np.float32(-1),  # -0.0 and -nan among them
    FLOATS[:, None],
    sp.csr_array([[1.0, 0.0]]),
    sp.csr_array([[0.0, 1.0]]),
    None,
    "1",
    1,
    1.0,
    np.nextafter(1.0, 2.0),
    True,
    b"1",
    [],
    [[]],
    ["ab", "c"],
    ["a", "bc"],
    {"a": 1},
    {"a": 2},
    {},
]


def test_what_differs_in_a_bit_or_a_type_has_another_checksum() -> None:
    assert len({checksum(value) for value in LIKE_NO_OTHER}) == len(LIKE_NO_OTHER)


@pytest.mark.parametrize("value", LIKE_NO_OTHER, ids=repr)
def test_a_checksum_is_that_of_the_value_not_of_the_object(value: object) -> None:
    copy = value.copy() if hasattr(value, "copy") else value
    assert checksum(value) == checksum(copy)


def test_the_order_of_keys_and_the_kind_of_sequence_do_not_count() -> None:
    assert checksum({"a": 1, "b": 2}) == checksum({"b": 2, "a": 1})
    assert checksum((1, 2)) == checksum(iter([1, 2])) == checksum([np.int64(1), 2])


def test_steps_that_differ_or_are_on_one_side_are_told() -> None:
    before = {Step("a", "read"): "1", Step("a", "fit"): "2", Step("a", "split"): "3"}
    now = {Step("a", "read"): "1", Step("a", "fit"): "4", Step("a", "open"): "5"}
    assert differences(before, now) == [
        "a: fit: differs",
        "a: split: only before",
        "a: open: only now",
    ]
    assert differences(before, dict(before)) == []


def test_the_exit_code_says_whether_all_is_the_same(capsys: pytest.CaptureFixture[str]) -> None:
    steps = {Step("a", "read"): "1"}
    assert compared(steps, dict(steps)) == 0
    assert compared(steps, {Step("a", "read"): "2"}) == 1
    assert compared(steps | {Step("b", "read"): "1"}, dict(steps)) == 0
    assert "b: not compared" in capsys.readouterr().err
    assert compared(steps, {}) == 1


def test_an_earlier_output_is_read(tmp_path: Path) -> None:
    path = tmp_path / "before.jsonl"
    path.write_text(json.dumps({"log": "a", "step": "read", "sha256": "1"}) + "\n")
    assert read(path) == {Step("a", "read"): "1"}


def test_the_files_of_a_version_are_compared_byte_by_byte(tmp_path: Path) -> None:
    folder = tmp_path / "versions" / "v"
    folder.mkdir(parents=True)
    (folder / "manifest.json").write_text(json.dumps({"files": {"a": {}}}))
    (folder / "a").write_bytes(b"1")
    before = checksum(files_of(tmp_path, "v"))
    (folder / "a").write_bytes(b"2")
    assert checksum(files_of(tmp_path, "v")) != before
