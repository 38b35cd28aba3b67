"""Forms of public logs: ids in words without a header, and what no table is, with the way out."""

from pathlib import Path

import pytest

from recsys.errors import DataError
from recsys.logs import guess_log, read_log


@pytest.mark.parametrize(
    ("text", "n_rows"),
    [
        ("u0,n1002\nu1,n7\nu12,n31\n", 3),
        ("u0\tn1002\t5\nu1\tn7\t3\n", 2),
        ("0af3d29c77aa12ef,Heat\nb1c3d29c77aa12e0,Alien\n", 2),
        ("u0 n886 n422 n905\nu1 n7\nu2 n1 n2\n", 6),
        ("item1,name\nitem2,Heat\n", 2),  # ids in both rows
        ("user,item\nu1,i1\n", 1),
        ("x1,x2\n1,2\n", None),
    ],
)
@pytest.mark.filterwarnings("ignore:log .*assumed that each line")
def test_ids_in_words_without_a_header(text: str, n_rows: int | None, tmp_path: Path) -> None:
    path = tmp_path / "log.txt"
    path.write_text(text)
    if n_rows is None:
        with pytest.raises(DataError, match=r"log\.columns\.user_id, and log\.columns\.item_id"):
            read_log(path)
    else:
        assert len(read_log(path, guess_log(path).settings)) == n_rows


@pytest.mark.parametrize(
    ("name", "text", "way"),
    [
        (
            "combined_data_1.txt",
            "1:\n101065,5,2001-11-25\n2:\n1,4,2002-01-02\n",
            "Netflix.*awk -F,",
        ),
        (
            "mpd.slice.json",
            '{"info": 1, "playlists": [{"pid": 0, "tracks": [{"track_uri": "a"}]}]}\n',
            r"jq -c '\.playlists\[\] \| \(del\(\.tracks\) as \$user \| \.tracks\[\] \| \$user",
        ),
        ("reviews.json", "{'user_id': 'u1', 'item_id': '8', 'liked': True}\n", "ast.literal_eval"),
    ],
)
def test_a_form_that_is_no_table_is_named_with_a_way(
    name: str, text: str, way: str, tmp_path: Path
) -> None:
    path = tmp_path / name
    path.write_text(text)
    with pytest.raises(DataError, match=way):
        read_log(path)


def test_a_row_of_json_may_hold_lists_of_objects(tmp_path: Path) -> None:
    path = tmp_path / "log.jsonl"
    row = '{"user_id": 1, "item_id": %d, "parts": [{"of": [{"a": 1}]}]}\n'
    path.write_text(row % 1)
    assert len(read_log(path)) == 1
    path.write_text((row % 1 + row % 2).replace("user_id", "who"))
    assert guess_log(path).columns == ("who", "item_id", "parts")
