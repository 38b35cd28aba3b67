"""`fetch` against a real server on this machine, and the registry against itself."""

import hashlib
import io
import subprocess
import sys
import threading
import zipfile
from dataclasses import replace
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from recsys.datasets import DATASETS, Dataset, describe, fetch
from recsys.datasets.download import download
from recsys.errors import ConfigError, DataError
from recsys.logs import read_log

RATINGS = b"userId,movieId,rating,timestamp\n1,31,2.5,1260759144\n1,1029,3.0,1260759179\n"


class Handler(BaseHTTPRequestHandler):
    """Serves `server.files`; can break off half-way, and can resume if `can_resume`."""

    def do_GET(self):
        self.server.requests.append((self.path, self.headers.get("Range")))
        body = self.server.files.get(self.path)
        if body is None:
            return self.send_error(404)
        wanted = self.headers.get("Range") if self.server.can_resume else None
        start = int(wanted.removeprefix("bytes=").removesuffix("-")) if wanted else 0
        if start >= len(body):
            return self.send_error(416)
        self.send_response(206 if wanted else 200)
        self.send_header("Content-Length", str(len(body) - start))
        self.end_headers()
        stop = self.server.break_at or len(body)
        self.wfile.write(body[start:stop])
        return None

    def log_message(self, *_):
        pass


@pytest.fixture
def server():
    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    server.files, server.requests, server.can_resume, server.break_at = {}, [], True, None
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def zipped(**members: bytes) -> bytes:
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        for name, body in members.items():
            archive.writestr(name, body)
    return buffer.getvalue()


def md5(body: bytes) -> str:
    return f"md5:{hashlib.md5(body, usedforsecurity=False).hexdigest()}"


def url_of(server, path="/tiny.zip") -> str:
    return f"http://127.0.0.1:{server.server_port}{path}"


@pytest.fixture
def archive(server) -> bytes:
    body = zipped(**{"tiny/ratings.csv": RATINGS, "tiny/README.txt": b"terms", "tiny/x.csv": b"x"})
    server.files["/tiny.zip"] = body
    return body


@pytest.fixture
def tiny(server, archive) -> dict[str, Dataset]:
    dataset = replace(
        DATASETS["ml-25m"],
        name="tiny",
        url=url_of(server),
        checksum=md5(archive),
        log="tiny/ratings.csv",
        items=None,
    )
    return {"tiny": dataset}


class TestFetch:
    def test_returns_the_log_of_the_archive(self, tiny, tmp_path):
        path = fetch("tiny", tmp_path, datasets=tiny)
        assert path == tmp_path / "tiny" / "ratings.csv"
        assert path.read_bytes() == RATINGS

    def test_unpacks_the_readme_and_nothing_that_is_not_needed(self, tiny, tmp_path):
        fetch("tiny", tmp_path, datasets=tiny)
        names = {path.name for path in (tmp_path / "tiny").iterdir()}
        assert names == {"tiny.zip", "ratings.csv", "README.txt"}

    def test_unpacks_the_items(self, server, tiny, tmp_path):
        body = zipped(**{"tiny/ratings.csv": RATINGS, "tiny/movies.csv": b"movieId,title\n31,A\n"})
        server.files["/tiny.zip"] = body
        tiny = {"tiny": replace(tiny["tiny"], checksum=md5(body), items="tiny/movies.csv")}
        fetch("tiny", tmp_path, datasets=tiny)
        assert (tmp_path / "tiny" / "movies.csv").exists()

    def test_downloads_once(self, server, tiny, tmp_path):
        assert fetch("tiny", tmp_path, datasets=tiny) == fetch("tiny", tmp_path, datasets=tiny)
        assert len(server.requests) == 1

    def test_replaces_an_archive_that_was_damaged(self, server, tiny, tmp_path):
        log = fetch("tiny", tmp_path, datasets=tiny)
        (tmp_path / "tiny" / "tiny.zip").write_bytes(b"damaged")
        log.write_bytes(b"damaged")
        assert fetch("tiny", tmp_path, datasets=tiny).read_bytes() == RATINGS
        assert len(server.requests) == 2

    def test_reports_how_far_it_is(self, tiny, archive, tmp_path):
        steps = []
        fetch("tiny", tmp_path, datasets=tiny, on_step=lambda *step: steps.append(step))
        assert steps[-1] == (len(archive), len(archive))

    def test_a_sha256_does_as_well(self, tiny, archive, tmp_path):
        checksum = f"sha256:{hashlib.sha256(archive).hexdigest()}"
        datasets = {"tiny": replace(tiny["tiny"], checksum=checksum)}
        assert fetch("tiny", tmp_path, datasets=datasets).exists()

    @pytest.mark.parametrize(("name", "delimiter"), [("ml-100k", "\t"), ("ml-1m", "::")])
    def test_a_log_without_a_header_is_read_by_its_settings(
        self, server, tmp_path, name, delimiter
    ):
        rows = [("196", "242", "3", "881250949"), ("186", "302", "4.5", "891717742")]
        body = zipped(u="\n".join(delimiter.join(row) for row in rows).encode())
        server.files["/tiny.zip"] = body
        dataset = replace(DATASETS[name], url=url_of(server), log="u", checksum=md5(body))
        path = fetch(name, tmp_path, datasets={name: dataset})
        log = read_log(path, dataset.settings)
        assert (log.users.tolist(), log.items.tolist()) == ([186], [302])  # 3 stars are no like
        assert log.timestamp.tolist() == [891717742]
        assert log.row_counts.left_out == {"value below min_value": 1}


class TestChecksumOfThePublisher:
    @pytest.fixture
    def by_publisher(self, tiny) -> dict[str, Dataset]:
        dataset = tiny["tiny"]
        return {
            "tiny": replace(dataset, checksum=None, checksum_url=f"{dataset.url}.md5"),
        }

    @pytest.mark.parametrize("form", ["MD5 (tiny.zip) = {}\n", "{}  tiny.zip\n", "{}"])
    def test_is_read_from_the_file_next_to_the_archive(
        self, server, by_publisher, archive, tmp_path, form
    ):
        digest = md5(archive).removeprefix("md5:")
        server.files["/tiny.zip.md5"] = form.format(digest.upper()).encode()
        assert fetch("tiny", tmp_path, datasets=by_publisher).read_bytes() == RATINGS

    def test_is_kept_so_that_no_network_is_needed_again(
        self, server, by_publisher, archive, tmp_path
    ):
        server.files["/tiny.zip.md5"] = md5(archive).removeprefix("md5:").encode()
        log = fetch("tiny", tmp_path, datasets=by_publisher)
        server.files.clear()
        assert fetch("tiny", tmp_path, datasets=by_publisher) == log

    def test_is_asked_for_again_with_a_new_archive(self, server, by_publisher, archive, tmp_path):
        server.files["/tiny.zip.md5"] = md5(archive).removeprefix("md5:").encode()
        fetch("tiny", tmp_path, datasets=by_publisher)
        (tmp_path / "tiny" / "tiny.zip").unlink()
        renewed = zipped(**{"tiny/ratings.csv": RATINGS * 2})
        server.files["/tiny.zip"] = renewed
        server.files["/tiny.zip.md5"] = md5(renewed).removeprefix("md5:").encode()
        assert fetch("tiny", tmp_path, datasets=by_publisher).read_bytes() == RATINGS * 2

    def test_refuses_an_archive_that_differs(self, server, by_publisher, tmp_path):
        server.files["/tiny.zip.md5"] = b"0" * 32
        with pytest.raises(DataError, match="not the file that was expected"):
            fetch("tiny", tmp_path, datasets=by_publisher)

    def test_without_it_nothing_is_downloaded(self, server, by_publisher, tmp_path):
        with pytest.raises(DataError, match=r"tiny.zip.md5: the server answered 404"):
            fetch("tiny", tmp_path, datasets=by_publisher)
        assert [path for path, _ in server.requests] == ["/tiny.zip.md5"]

    def test_a_folder_that_cannot_be_made(self, server, by_publisher, archive, tmp_path):
        server.files["/tiny.zip.md5"] = md5(archive).removeprefix("md5:").encode()
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match="cannot write"):
            fetch("tiny", tmp_path / "file", datasets=by_publisher)

    def test_a_page_that_holds_none_is_refused(self, server, by_publisher, tmp_path):
        server.files["/tiny.zip.md5"] = b"<html>moved</html>"
        with pytest.raises(DataError, match="expected an MD5 or SHA-256 checksum, got '<html>"):
            fetch("tiny", tmp_path, datasets=by_publisher)


class TestFailures:
    def one_line(self, error) -> str:
        message = str(error.value)
        assert "\n" not in message
        return message

    def test_wrong_checksum_leaves_nothing_behind(self, tiny, tmp_path):
        datasets = {"tiny": replace(tiny["tiny"], checksum=f"md5:{'0' * 32}")}
        with pytest.raises(DataError) as error:
            fetch("tiny", tmp_path, datasets=datasets)
        assert "not the file that was expected" in self.one_line(error)
        assert list((tmp_path / "tiny").iterdir()) == []

    def test_404_says_so(self, server, tiny, tmp_path):
        server.files.clear()
        with pytest.raises(DataError) as error:
            fetch("tiny", tmp_path, datasets=tiny)
        message = self.one_line(error)
        assert "the server answered 404" in message
        assert tiny["tiny"].home in message

    def test_no_server_says_so(self, tiny, tmp_path):
        with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as gone:
            url = url_of(gone)
        with pytest.raises(DataError) as error:
            fetch("tiny", tmp_path, datasets={"tiny": replace(tiny["tiny"], url=url)})
        assert "no connection to the server" in self.one_line(error)

    def test_unknown_name_suggests_a_known_one(self, tmp_path):
        with pytest.raises(DataError, match="did you mean 'ml-25m'"):
            fetch("ml-25", tmp_path)
        with pytest.raises(DataError, match="only ml-latest-small, "):
            fetch("zzz", tmp_path)

    def test_a_log_without_checksum_is_explained(self, tmp_path):
        with pytest.raises(DataError, match=r"publisher states no checksum.*snap.stanford.edu"):
            fetch("gowalla", tmp_path)

    def test_archive_without_the_log(self, tiny, tmp_path):
        datasets = {"tiny": replace(tiny["tiny"], log="tiny/events.csv")}
        with pytest.raises(DataError, match=r"tiny.zip does not hold .*tiny/events.csv"):
            fetch("tiny", tmp_path, datasets=datasets)

    def test_something_that_is_no_archive(self, server, tiny, tmp_path):
        server.files["/tiny.zip"] = b"hello"
        datasets = {"tiny": replace(tiny["tiny"], checksum=md5(b"hello"))}
        with pytest.raises(DataError, match="is not a zip archive"):
            fetch("tiny", tmp_path, datasets=datasets)

    def test_a_folder_that_cannot_be_made(self, tiny, tmp_path):
        (tmp_path / "file").touch()
        with pytest.raises(DataError, match="cannot write"):
            fetch("tiny", tmp_path / "file", datasets=tiny)

    def test_members_cannot_leave_the_folder(self, server, tiny, tmp_path):
        body = zipped(**{"../../README.evil": b"out", "/tmp/../ratings.csv": RATINGS})  # noqa: S108
        server.files["/tiny.zip"] = body
        dataset = replace(tiny["tiny"], checksum=md5(body), log="/tmp/../ratings.csv")  # noqa: S108
        fetch("tiny", tmp_path / "in", datasets={"tiny": dataset})
        assert {path.name for path in tmp_path.iterdir()} == {"in"}
        assert (tmp_path / "in" / "tiny" / "README.evil").read_bytes() == b"out"


class TestResume:
    BODY = bytes(range(256)) * 20_000  # a few chunks

    @pytest.fixture(autouse=True)
    def _big_file(self, server):
        server.files["/big"] = self.BODY

    def interrupted(self, server, path):
        server.break_at = 3_000_000
        with pytest.raises(DataError, match=r"the connection broke off; .*big.part is kept"):
            download(url_of(server, "/big"), path, md5(self.BODY))
        server.break_at = None

    def test_goes_on_where_it_stopped(self, server, tmp_path):
        path = tmp_path / "big"
        self.interrupted(server, path)
        kept = (tmp_path / "big.part").stat().st_size
        assert 0 < kept <= 3_000_000
        assert not path.exists()
        steps = []
        download(url_of(server, "/big"), path, md5(self.BODY), lambda *step: steps.append(step))
        assert path.read_bytes() == self.BODY
        assert server.requests[-1] == ("/big", f"bytes={kept}-")
        assert steps[0][0] > kept
        assert steps[-1] == (len(self.BODY), len(self.BODY))
        assert [path.name for path in tmp_path.iterdir()] == ["big"]

    def test_starts_again_where_the_server_cannot_resume(self, server, tmp_path):
        self.interrupted(server, tmp_path / "big")
        server.can_resume = False
        download(url_of(server, "/big"), tmp_path / "big", md5(self.BODY))
        assert (tmp_path / "big").read_bytes() == self.BODY

    def test_a_part_that_was_whole_is_taken(self, server, tmp_path):
        (tmp_path / "big.part").write_bytes(self.BODY)
        download(url_of(server, "/big"), tmp_path / "big", md5(self.BODY))
        assert (tmp_path / "big").read_bytes() == self.BODY

    def test_a_part_of_something_else_fails_once(self, server, tmp_path):
        (tmp_path / "big.part").write_bytes(b"another file")
        with pytest.raises(DataError, match="not the file that was expected"):
            download(url_of(server, "/big"), tmp_path / "big", md5(self.BODY))
        download(url_of(server, "/big"), tmp_path / "big", md5(self.BODY))
        assert (tmp_path / "big").read_bytes() == self.BODY


class TestRegistry:
    @pytest.mark.parametrize("dataset", DATASETS.values(), ids=DATASETS)
    def test_entries_are_complete(self, dataset):
        assert dataset.what
        assert dataset.terms
        assert dataset.home.startswith("https://")
        assert dataset.n_interactions > 50_000
        assert dataset.megabytes > 0
        if dataset.fetchable:
            assert dataset.url.startswith("https://")
            assert dataset.log
            assert dataset.checksum is None or len(dataset.checksum) == len("md5:") + 32
        else:
            assert dataset.by_hand

    def test_names_are_the_keys_and_checksums_differ(self):
        assert all(name == dataset.name for name, dataset in DATASETS.items())
        checksums = [dataset.checksum for dataset in DATASETS.values() if dataset.checksum]
        assert len(set(checksums)) == len(checksums) >= 6

    def test_describe_says_how_to_get_each(self):
        rows = {row["name"]: row for row in describe()}
        assert set(rows) == set(DATASETS)
        assert rows["ml-1m"]["fetchable"] is True
        assert rows["online-retail"]["fetchable"] is False
        assert rows["ml-1m"]["interactions"] == 1_000_209
        assert "CSV" in rows["online-retail"]["by_hand"]

    def test_without_pooch_the_extra_is_named(self, tmp_path, monkeypatch):
        monkeypatch.delitem(sys.modules, "recsys.datasets.download")
        monkeypatch.setitem(sys.modules, "pooch", None)  # what an import of a missing one meets
        with pytest.raises(ConfigError, match=r"pooch, got none; pip install '.*\[datasets\]'"):
            fetch("ml-1m", tmp_path)
        assert len(describe()) == len(DATASETS)

    def test_importing_it_stays_light(self):
        code = "import sys, recsys.datasets; print({'pooch', 'requests'} & set(sys.modules))"
        run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True)
        assert run.stdout.strip() == "set()", run.stderr
