"""Text that other tools write: without a header, with any delimiter, encoding and compression."""

import bz2
import json
import zipfile
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from recsys.errors import ConfigError, DataError
from recsys.logs import Interactions, read_items, read_log

NOON = 1_700_000_000


def read(folder: Path, text: str | bytes, name: str = "log.csv", **how: object) -> Interactions:
    path = folder / name
    path.write_bytes(text if isinstance(text, bytes) else text.encode())
    return read_log(path, **how)


def events_of(log: Interactions) -> list[tuple]:
    users, items = log.users.tolist(log.user_idx), log.items.tolist(log.item_idx)
    times = [None] * len(log) if log.timestamp is None else log.timestamp.tolist()
    return list(zip(users, items, log.weight.tolist(), times, strict=True))


RATINGS = [(1, 1193, 5.0, NOON), (1, 661, 3.0, NOON + 9), (2, 1193, 4.0, NOON + 20)]


NAMES = ["José", "Müller", "Zoë", "Łukasz"]
WORDS = ["café", "crème brûlée", "“naïve”", "10 €"]


@pytest.mark.parametrize("encoding", ["cp1252", "latin-1"])
@pytest.mark.parametrize("kind", ["csv", "jsonl", "items"])
def test_western_text_is_detected_with_a_word(tmp_path, encoding, kind):
    words = WORDS if encoding == "cp1252" else WORDS[:2]
    rows = [(name, word) for name in NAMES[:3] for word in words]
    if kind == "jsonl":
        lines = [json.dumps({"user_id": a, "item_id": b}, ensure_ascii=False) for a, b in rows]
    else:
        lines = ["item_id,title" if kind == "items" else "user_id,item_id"]
        lines += [",".join(row) for row in rows]
    path = tmp_path / f"log.{kind.replace('items', 'csv')}"
    path.write_bytes("\n".join(lines).encode(encoding))
    with pytest.warns(RuntimeWarning, match=r"read as cp1252, which fits; .*encoding.* names it"):
        read_it = read_items(path) if kind == "items" else read_log(path)
    if kind == "items":
        assert list(map(tuple, zip(*read_it.to_pydict().values(), strict=True))) == rows
    else:
        assert [event[:2] for event in events_of(read_it)] == rows


@pytest.mark.parametrize(
    ("text", "encoding"),
    [
        *(("Иван,книга", name) for name in ("cp1251", "koi8-r")),
        *(("東京,カメラ", name) for name in ("shift_jis", "euc-jp")),
        *(("北京,相机", "gbk"), ("台北,相機", "big5"), ("서울,책", "euc-kr")),
        ("Łukasz,żółć", "iso8859-2"),
    ],
)
def test_other_encodings_are_not_guessed(tmp_path, text, encoding):
    rows = "\n".join(["user_id,item_id", *[text] * 20])
    with pytest.raises(DataError, match=r"not UTF-8 20.*log\.encoding"):
        read(tmp_path, rows.encode(encoding))
    assert read(tmp_path, rows.encode(encoding), encoding=encoding).users[0] == text.split(",")[0]


def test_a_damaged_byte_is_no_other_encoding(tmp_path):
    rows = [f"u{n},caf\u00e9" for n in range(200)]
    data = "\n".join(["user_id,item_id", *rows]).encode()
    for place in (700, 900, 1500):
        data = data[:place] + b"\xe9" + data[place + 1 :]
    log = read(tmp_path, data, max_rejected_share=0.1)
    assert log.row_counts.rejected == {"not UTF-8": 3}


# Without a header


@pytest.mark.parametrize(
    ("name", "delimiter"),
    [("ratings.dat", "::"), ("u.data", "\t"), ("ratings.csv", ","), ("ratings.txt", " ")],
)
def test_ratings_without_a_header_are_read_with_a_word(tmp_path, name, delimiter):
    rows = [(user, item, int(value), time) for user, item, value, time in RATINGS]
    text = "".join(delimiter.join(map(str, row)) + "\n" for row in rows)
    with pytest.warns(RuntimeWarning, match="user_id, item_id, value, timestamp"):
        log = read(tmp_path, text, name)
    assert events_of(log) == RATINGS
    assert "log.names" in log.row_counts.notes[0]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("1,7\n2,8\n", [(1, 7, 1.0, None), (2, 8, 1.0, None)]),
        ("ann,7,3\nbob,8,4.5\n", [("ann", 7, 3.0, None), ("bob", 8, 4.5, None)]),
        (f"1,7,{NOON}\n", [(1, 7, 1.0, NOON)]),
        ("1,7,2023-11-14T22:13:20Z\n", [(1, 7, 1.0, NOON)]),
    ],
)
def test_what_columns_without_names_are(tmp_path, text, expected):
    with pytest.warns(RuntimeWarning, match="the first row is data"):
        assert events_of(read(tmp_path, text)) == expected


@pytest.mark.parametrize(
    "text", ["1,2268318,2520377,pv,1511544070\n", "0\t2010-10-19T23:55:27Z\t30.2\t-97.7\t22847\n"]
)
def test_a_first_row_of_data_that_can_be_anything_is_refused(tmp_path, text):
    with pytest.raises(DataError, match=r"first row looks like data.*log\.names"):
        read(tmp_path, text)


def test_columns_by_name_and_by_position(tmp_path):
    text = f"1,22,333,pv,{NOON}\n2,22,333,buy,{NOON + 1}\n"
    names = ["user_id", "item_id", "category", "event", "timestamp"]
    named = read(tmp_path, text, names=names, events={"pv": 1.0, "buy": 3.0})
    assert events_of(named) == [(1, 22, 1.0, NOON), (2, 22, 3.0, NOON + 1)]
    columns = {"user_id": "1", "item_id": "3", "timestamp": "5"}
    placed = read(tmp_path, text, header=False, columns=columns)
    assert events_of(placed) == [(1, 333, 1.0, NOON), (2, 333, 1.0, NOON + 1)]


def test_names_replace_those_of_a_header(tmp_path):
    log = read(tmp_path, "a,b\n1,2\n", names=["user_id", "item_id"], header=True)
    assert events_of(log) == [(1, 2, 1.0, None)]
    same = read(tmp_path, "user_id,item_id\n1,2\n", names=["user_id", "item_id"])
    assert events_of(same) == [(1, 2, 1.0, None)]


def test_a_user_and_a_list_of_items_on_each_line(tmp_path):
    expected = [(0, 5, 1.0, None), (0, 6, 1.0, None), (1, 7, 1.0, None), (2, 5, 1.0, None)]
    text = "0 5 6\n1 7\n2 5\n"
    with pytest.warns(RuntimeWarning, match="a user and then the items"):
        assert events_of(read(tmp_path, text, "train.txt")) == expected
    log = read(tmp_path, text + "3\n", "train.txt", format="lists", max_rejected_share=0.2)
    assert events_of(log) == expected
    assert log.row_counts.rejected == {"empty item_id": 1}


@pytest.mark.parametrize("again", ["user_id,item_id", "\ufeffuser_id,item_id", "USER_ID,Item_ID"])
@pytest.mark.parametrize("names", [(), ("user_id", "item_id")])
def test_a_header_in_the_middle_is_no_row(tmp_path, again, names):
    log = read(tmp_path, f"user_id,item_id\n1,2\n{again}\n3,4\n", names=names)
    assert events_of(log) == [(1, 2, 1.0, None), (3, 4, 1.0, None)]
    assert log.row_counts.left_out == {"repeated header": 1}


@pytest.mark.parametrize(
    ("delimiter", "name"),
    [(",", "log.csv"), ("\t", "log.tsv"), (" ", "log.txt"), ("::", "log.dat")],
)
def test_a_header_in_another_order_is_refused(tmp_path, delimiter, name):
    rows = ["user_id,item_id,value", "u1,i1,1", '"item_id",USER_ID,value', "i2,u2,1"]
    text = "\n".join(rows).replace(",", delimiter)
    if delimiter in " ::":
        text = text.replace('"', "")
    with pytest.raises(DataError, match="line 3: the header is repeated in another order"):
        read(tmp_path, text, name, max_rejected_share=1)


def test_rows_with_the_names_of_columns_are_rows(tmp_path):
    log = read(tmp_path, "a,b\nb,a\na,c\n", columns={"user_id": "a", "item_id": "b"})
    assert len(log) == 2
    log = read(tmp_path, "user_id,item_id\nitem_id,x\nitem_id,item_id\n")
    assert len(log) == 2


@pytest.mark.parametrize(
    "footer",
    ["TOTAL,2", "Grand total,,", '"Total:","1,234"', "(2 rows)", "2 rows affected", "\x1a", "EOF,"],
)
def test_a_footer_is_no_row_and_is_said(tmp_path, footer):
    log = read(tmp_path, f"user_id,item_id\n1,7\n2,7\n{footer}\n")
    assert events_of(log) == [(1, 7, 1.0, None), (2, 7, 1.0, None)]
    assert log.row_counts.notes[0].startswith("line 4 is a footer and no row, ")


@pytest.mark.parametrize("rows", [["total,7"], ["1,7", "total,lamp"], ["total,7", "1,7"]])
def test_a_user_with_the_name_of_a_total_is_a_user(tmp_path, rows):
    log = read(tmp_path, "\n".join(["user_id,item_id", *rows, ""]))
    assert log.users.find("total") is not None
    assert len(log) == len(rows)


@pytest.mark.parametrize("quoted", ["a\nb\nc", "a,\nb,\nc,", "a,1\nb,2\nc,3\nd,4\ne,5\nf,6"])
@pytest.mark.parametrize("is_user", [True, False])
def test_a_quoted_field_of_many_lines_in_two_columns(tmp_path, quoted, is_user):
    rows = [f"u{n},i{n % 5}" for n in range(50)]
    odd = f'"{quoted}",i1' if is_user else f'u1,"{quoted}"'
    log = read(tmp_path, "\n".join(["user_id,item_id", *rows, odd, *rows]))
    assert len(log) == 101
    assert not log.row_counts.rejected
    assert (log.users if is_user else log.items).find(quoted) is not None


# Delimiters, marks, comments, encodings


@pytest.mark.parametrize("delimiter", ["::", "||", "\x01", "^", "]", "\\", "#", " ", "¦", "<->"])
def test_any_delimiter_can_be_named(tmp_path, delimiter):
    text = "\n".join(delimiter.join(row) for row in (("user_id", "item_id", "value"), "ax2", "by3"))
    log = read(tmp_path, text, delimiter=delimiter)
    assert events_of(log) == [("a", "x", 2.0, None), ("b", "y", 3.0, None)]


def test_any_number_of_blanks_is_one_delimiter(tmp_path):
    log = read(tmp_path, "user_id  item_id\n a \t x\nb    y \n", "log.txt")
    assert events_of(log) == [("a", "x", 1.0, None), ("b", "y", 1.0, None)]


def test_a_delimiter_must_be_one():
    for wrong in ("", '"', "\n"):
        with pytest.raises(ConfigError, match=r"log\.delimiter"):
            read_log("log.csv", delimiter=wrong)


def test_decimal_comma(tmp_path):
    text = "user_id;item_id;value\na;x;3,5\nb;y;4\n"
    assert read(tmp_path, text, decimal=",").weight.tolist() == [3.5, 4.0]
    with pytest.raises(DataError, match=r'unreadable value.*log\.decimal = ","'):
        read(tmp_path, text)


def test_comments_are_no_rows(tmp_path):
    text = "# written by a tool\n\nuser_id,item_id\n# more\na,x\n#b,y\n"
    log = read(tmp_path, text, comment="#")
    assert events_of(log) == [("a", "x", 1.0, None)]
    assert log.row_counts.rows_read == 1


@pytest.mark.parametrize("encoding", ["cp1252", "utf-16", "utf-32", "shift_jis", "utf-8-sig"])
def test_another_encoding_by_name_or_mark(tmp_path, encoding):
    name = "カメラ" if encoding == "shift_jis" else "café"
    data = f"user_id,item_id\n{name},x\n".encode(encoding)
    assert read(tmp_path, data, encoding=encoding).users.tolist() == [name]
    if encoding.startswith("utf"):
        log = read(tmp_path, data)
        assert log.users.tolist() == [name]
        assert len(log.row_counts.notes) == (encoding != "utf-8-sig")
    else:
        with pytest.raises(DataError, match=r"log\.encoding"):
            read(tmp_path, data)


def test_text_that_is_not_of_its_encoding(tmp_path):
    with pytest.raises(DataError, match=r"expected euc_jp text"):
        read(tmp_path, b"user_id,item_id\n\xff\xff,x\n", encoding="euc_jp")
    with pytest.raises(ConfigError, match=r"log\.encoding.*'klingon'"):
        read(tmp_path, "user_id,item_id\na,x\n", encoding="klingon")


def test_bz2_and_a_zip_of_one_file(tmp_path):
    text = b"user_id,item_id\na,x\n"
    assert events_of(read(tmp_path, bz2.compress(text), "log.csv.bz2")) == [("a", "x", 1.0, None)]
    path = tmp_path / "archive.zip"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        archive.writestr("inner/log.csv", text)
        archive.writestr("__MACOSX/inner/._log.csv", b"x")
    assert events_of(read_log(path)) == [("a", "x", 1.0, None)]
    with zipfile.ZipFile(path, "a") as archive:
        archive.writestr("inner/other.csv", text)
    with pytest.raises(DataError, match=r"one file, got 2: inner/log\.csv, inner/other\.csv"):
        read_log(path)
    for name in ("broken.zip", "broken.csv.zip", "broken.csv.bz2"):
        with pytest.raises(DataError, match=name):
            read(tmp_path, b"no archive", name)


@pytest.mark.parametrize("text", ['[{"user_id": 1}]', '\n[\n{"user_id": 1}\n]', '{\n"user_id": 1}'])
def test_one_json_document_is_refused_by_name(tmp_path, text):
    with pytest.raises(DataError, match="JSON array|over several lines"):
        read(tmp_path, text, "log.json")


@pytest.mark.parametrize("end", [",", ", ", ",\r"])
def test_json_lines_may_end_in_a_comma(tmp_path, end):
    text = '{"user_id": 1, "item_id": "a,"}' + end + '\n{"user_id": 2, "item_id": "b"}\n'
    assert read(tmp_path, text, "log.json").items.tolist() == ["a,", "b"]


@pytest.mark.parametrize("gap", ["", " ", ","])
def test_several_objects_on_one_line(tmp_path, gap):
    one = '{"user_id": 1, "item_id": 2}'
    with pytest.raises(DataError, match="its first line holds several JSON objects.*jq"):
        read(tmp_path, f"{one}{gap}{one}\n", "log.json")
    with pytest.raises(DataError, match="malformed line 1.*of JSON lines, each is one object"):
        read(tmp_path, f"{one}\n{one}{gap}{one}\n", "log.json")


# Nothing


@pytest.mark.parametrize("nothing", ["NULL", "null", "\\N", "NaN", "nan", "None", "N/A", "<NA>"])
@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_how_text_spells_nothing(tmp_path, nothing, kind):
    row = {"user_id": "a", "item_id": "x", "value": "2", "timestamp": str(NOON)}
    rows = [row, *({**row, name: nothing} for name in row)]
    if kind == "csv":
        text = "\n".join(",".join(one) for one in [row.keys(), *(one.values() for one in rows)])
    else:
        text = "\n".join(map(json.dumps, rows))
    log = read(tmp_path, text, f"log.{kind}", max_rejected_share=1)
    assert events_of(log) == [("a", "x", 2.0, NOON)]
    assert log.row_counts.rejected == {
        "empty user_id": 1,
        "empty item_id": 1,
        "no value": 1,
        "no timestamp": 1,
    }


def test_what_stands_for_nothing_can_be_said(tmp_path):
    text = "user_id,item_id\nNA,1\n-,2\n"
    log = read(tmp_path, text, null_values=["-"], max_rejected_share=1)
    assert log.users.tolist() == ["NA"]


# Quotes


def test_stray_quotes_spoil_their_own_lines(tmp_path):
    lines = [f"u{n % 7},shoes {n},i{n % 30}" for n in range(300)]
    lines[20], lines[200] = 'u3,"red shoes,i4', 'u4,tv 55",i7'
    text = "\n".join(["user_id,query,item_id", *lines])
    log = read(tmp_path, text)
    assert log.row_counts.rows_read == 300
    assert log.row_counts.rejected == {"malformed line": 1}
    assert len(log) == 299


def test_a_stray_quote_in_an_id_makes_no_item_of_many_rows(tmp_path):
    lines = [f"u{n % 7}\ti{n % 30}" for n in range(300)]
    lines[20], lines[200] = 'u3\t"i4', 'u4\ti7"'
    log = read(tmp_path, "\n".join(["user_id\titem_id", *lines]), "log.tsv")
    assert len(log) == 299
    assert max(map(len, log.items.tolist())) == 3


def test_quoted_text_over_several_lines_is_one_field(tmp_path):
    text = 'user_id,query,item_id\na,"red\nshoes, black\nand more",x\nb,tv,y\n'
    log = read(tmp_path, text)
    assert log.row_counts.rows_read == 2
    assert log.items.tolist() == ["x", "y"]


def test_quoted_breaks_between_which_lines_look_like_rows(tmp_path):
    two_lines = 'user_id,item_id\na,"x\ny,z"\nb,w\n'
    assert read(tmp_path, two_lines).items.tolist() == ["w", "x\ny,z"]
    four_lines = 'user_id,item_id\na,"x\n1,2\n3,4\ny,z"\nb,w\n'
    assert len(read(tmp_path, four_lines, max_rejected_share=1)) == 4  # stray, in a file of strays
    quoted_well = four_lines + 'c,"v, ""u"""\n'
    items = read(tmp_path, quoted_well).items.tolist()
    assert items == ['v, "u"', "w", "x\n1,2\n3,4\ny,z"]


@given(st.integers(3, 60), st.integers(2, 5), st.integers(1, 64), st.data())
@settings(max_examples=30, deadline=None)
def test_two_stray_quotes_anywhere_cost_two_rows_at_most(
    tmp_path_factory, n_rows, n_fields, block_bytes, data
):
    rows = [[f"f{row}x{field}" for field in range(n_fields)] for row in range(n_rows)]
    for _ in range(2):
        row = data.draw(st.integers(0, n_rows - 1))
        field = data.draw(st.integers(0, n_fields - 1))
        rows[row][field] = data.draw(st.sampled_from(['"{}', '{}"', 'a"{}'])).format(
            rows[row][field].replace('"', "")
        )
    names = ["user_id", "item_id", *(f"c{n}" for n in range(2, n_fields))]
    text = "\n".join(",".join(row) for row in [names, *rows])
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("recsys.logs.records.BLOCK_BYTES", block_bytes)
        counts = read(tmp_path_factory.mktemp("quotes"), text, max_rejected_share=1).row_counts
    n_lost = n_rows - counts.n_used
    assert counts.rows_read >= n_rows - 1
    assert n_lost <= 2


# Hard to hurt


def test_json_nested_deeply_is_rejected(tmp_path):
    deep = '{"user_id": "a", "item_id": ' + "[" * 100_000 + "]" * 100_000 + "}"
    text = "\n".join(['{"user_id": "b", "item_id": "x"}', deep, "[" * 1_100])
    log = read(tmp_path, text, "log.jsonl", max_rejected_share=1)
    assert log.users.tolist() == ["b"]
    assert log.row_counts.rejected == {"unreadable item_id": 1, "malformed line": 1}


def test_json_of_odd_characters_and_long_numbers(tmp_path):
    lines = [
        '{"user_id": "\\ud800", "item_id": "x"}',
        '{"user_id": ' + "9" * 5_000 + ', "item_id": "x"}',
        '{"user_id": "a", "item_id": "x", "value": ' + "9" * 5_000 + "}",
        '{"user_id": "a", "item_id": "x", "value": 1}',
    ]
    log = read(tmp_path, "\n".join(lines), "log.jsonl", max_rejected_share=1, missing_value=1.0)
    assert log.users.tolist() == ["9" * 5_000, "a"]
    assert log.row_counts.rejected == {"malformed line": 1, "non-finite value": 1}


def zstd_bomb(path: Path, byte: bytes, n_megabytes: int) -> None:
    import pyarrow as pa

    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        for _ in range(n_megabytes):
            stream.write(byte * (1 << 20))


def test_a_text_without_line_breaks_is_refused_before_it_fills_the_memory(tmp_path):
    path = tmp_path / "log.csv.zst"
    zstd_bomb(path, b"a", 500)
    assert path.stat().st_size < 200_000
    with pytest.raises(DataError, match=r"line 1 has no end after 16 MB"):
        read_log(path, memory_limit="60MB")


def test_a_text_of_blank_lines_has_no_rows(tmp_path):
    path = tmp_path / "log.csv.zst"
    zstd_bomb(path, b"\n", 200)
    with pytest.raises(DataError, match="empty"):
        read_log(path, memory_limit="60MB")


def test_long_lines_stay_within_the_memory(tmp_path):
    path = tmp_path / "log.csv.zst"
    with pa.CompressedOutputStream(str(path), "zstd") as stream:
        stream.write(b"user_id,item_id\n")
        for _ in range(200):
            stream.write(b"," * 1_000_000 + b"\n")
    with pytest.raises(DataError, match="malformed line 200"):  # not: more than the limit allows
        read_log(path, memory_limit="100MB")


def test_a_long_line_of_too_many_fields_is_rejected_and_its_text_cut(tmp_path):
    text = "user_id,item_id\n" + "," * 5_000_000 + "\na,x\n" + "b," + "y" * 100_000 + "\n"
    rejects = tmp_path / "rejects.parquet"
    log = read(tmp_path, text, max_rejected_share=1, rejects=rejects)
    assert log.users.tolist() == ["a", "b"]
    assert log.row_counts.rejected == {"malformed line": 1}
    (row,) = pq.read_table(rejects).to_pylist()
    assert (row["line"], len(row["text"])) == (2, 1 << 12)


def test_quotes_made_to_be_costly_end_soon(tmp_path, monkeypatch):
    monkeypatch.setattr("recsys.logs.records._SCANNED_BYTES", (1 << 20, 1))
    lines = ['a,"b', *(['c",d,"e'] * 20_000)]
    with pytest.raises(DataError, match="malformed line"):
        read(tmp_path, "\n".join(["user_id,item_id", *lines]))


@pytest.mark.parametrize(
    ("first", "mark"), [("sep=;", ";"), ('"sep=^"', "^"), ("\ufeffSEP=\t", "\t")]
)
def test_a_first_line_for_excel_states_the_delimiter(tmp_path: Path, first: str, mark: str) -> None:
    rows = [("item_id", "user_id", "value"), *((f"i{n}", "u", "2") for n in range(3))]
    path = tmp_path / "log.csv"
    path.write_text("\r\n".join([first, *map(mark.join, rows)]))

    log = read_log(path, rejects=tmp_path / "rejects.parquet")
    items = read_items(path)

    assert (log.items.tolist(), log.row_counts.rows_read) == (["i0", "i1", "i2"], 3)
    assert items["item_id"].to_pylist() == ["i0", "i1", "i2"]


def test_a_first_line_that_is_a_comment_names_the_setting(tmp_path: Path) -> None:
    path = tmp_path / "log.csv"
    path.write_text("# exported today, by us\nuser_id,item_id\nann,7\n# one more\nbob,7\n")

    with pytest.raises(
        DataError, match=r"log .*'# exported today, by us'; set log.comment = \"#\""
    ):
        read_log(path)
    with pytest.raises(DataError, match=r'items .*set data.items_text.comment = "#"'):
        read_items(path)
    assert len(read_log(path, comment="#")) == 2


@pytest.mark.parametrize("encoding", ["utf-16-le", "utf-16-be", "utf-32-le"])
def test_utf_16_without_a_mark_may_be_of_any_language(tmp_path: Path, encoding: str) -> None:
    path = tmp_path / "log.csv"
    path.write_text("user_id,item_id\n" + "анна,一товар\n" * 30, encoding=encoding)

    assert read_log(path).items.tolist() == ["一товар"]
