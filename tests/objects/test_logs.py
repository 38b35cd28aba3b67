"""Logs and tables of items in a bucket, and what is said where that cannot be read."""

import os
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pandas as pd
import pytest

import recsys
from recsys.errors import ConfigError, DataError
from recsys.logs import LogCache
from recsys.objects import Bucket, ObjectAddress, local_copy, object_address, shown
from recsys.store import store_folder
from tests.command_line import run
from tests.objects.conftest import Machine, Service

DAYS = (
    b"user_id,item_id,timestamp\n1,7,1700000000\n2,7,1700000001\n",
    b"user_id,item_id,timestamp\n",
)
LATER = b"user_id,item_id,timestamp\n3,8,1700090000\n,8,1700090001\n"


class Place:
    """A part of the bucket to write to, and its machine's environment."""

    def __init__(self, machine: Machine) -> None:
        self.address = machine.address.removesuffix("/store")
        self.environment = machine.environment
        self._bucket = Bucket(address_of(self.address), AssertionError)

    def put(self, key: str, content: bytes) -> None:
        self._bucket.put(key, content)

    def delete(self, *keys: str) -> None:
        self._bucket.delete(keys)


def address_of(text: str) -> ObjectAddress:
    found = object_address(text)
    assert found is not None
    return found


@pytest.fixture
def place(machine: Callable[..., Machine]) -> Iterator[Place]:
    made = machine()
    with made.here():
        yield Place(made)


def test_a_log_is_fetched_once_and_again_where_it_changed(place: Place, tmp_path: Path) -> None:
    log = f"{place.address}/log"
    place.put("log/day=1/a.csv", DAYS[0])
    place.put("log/day=2/a.csv", LATER)
    place.put("log/_SUCCESS", b"")
    rejects, cache = tmp_path / "rejects.parquet", LogCache(tmp_path / "cache")
    read = recsys.read_log(log, rejects=rejects, cache=cache, max_rejected_share=0.5)
    assert len(read) == 3
    assert pd.read_parquet(rejects).file.tolist() == [f"{log}/day=2/a.csv"]
    assert f"{log}/day=1/a.csv" in read.row_counts.files
    copy = local_copy(address_of(log)).path / "day=1/a.csv"
    before = copy.stat()
    recsys.read_log(log, max_rejected_share=0.5)
    assert copy.stat() == before  # also by its access: nobody has fetched it again

    place.put("log/day=2/a.csv", LATER.replace(b",8,", b",9,"))
    place.delete("log/day=1/a.csv")
    place.put("log/day=3/b.csv", DAYS[0])
    again = recsys.read_log(log, cache=cache, max_rejected_share=0.5)
    assert again.items.tolist() == [7, 9]
    assert not copy.exists()
    assert cache.read == [f"{log}/day=2/a.csv", f"{log}/day=3/b.csv"]

    found = recsys.read_log(f"{log}/day=[3-5]/*.csv")
    assert len(found) == 2
    assert (
        len(recsys.read_log([f"{log}/day=3/b.csv", f"{log}/day=2/a.csv"], max_rejected_share=0.5))
        == 3
    )


def test_what_cannot_be_read_is_said_by_its_address(place: Place, service: Service) -> None:
    with pytest.raises(DataError, match=f"log {place.address}/nothing: expected an object"):
        recsys.read_log(f"{place.address}/nothing")
    place.put("empty/a.csv", DAYS[1])
    with pytest.raises(DataError, match=f"log {place.address}/empty/a.csv: expected rows"):
        recsys.read_log(f"{place.address}/empty")
    place.put("delta/_delta_log/0.json", b"{}")
    place.put("delta/a.parquet", b"PAR1")
    with pytest.raises(DataError, match=f"log {place.address}/delta: it is a Delta table"):
        recsys.read_log(f"{place.address}/delta")
    with pytest.raises(ConfigError, match=r"expected an address such as s3://bucket/folder"):
        recsys.read_log("s3://shop/../other")
    other = service.root.replace("shop", "no-such-bucket")
    with pytest.raises(DataError, match=f"{other}/.*{service.no_bucket}"):
        recsys.read_log(f"{other}/log/*.csv")


def test_who_may_not_or_cannot_reach_the_service_is_told_so(
    place: Place, service: Service, monkeypatch: pytest.MonkeyPatch
) -> None:
    refused = "the service is not reached.*connection refused"
    for name, value, words in (
        *service.wrong,
        (service.endpoint_name, "http://127.0.0.1:9", refused),
    ):
        with monkeypatch.context() as changed:
            changed.setenv(name, value)
            with pytest.raises(DataError, match=words) as raised:
                recsys.read_log(f"{place.address}/*.csv")
        assert len(str(raised.value).splitlines()) == 1
        assert not [one for one in service.secrets if one in str(raised.value)]


def test_without_the_package_an_address_names_the_extra(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "obstore", None)
    monkeypatch.setitem(sys.modules, "obstore.store", None)
    for use in (recsys.read_log, recsys.open):
        with pytest.raises(ConfigError, match=r"the package obstore.*recsys-engine\[objects\]"):
            use("s3://shop/other")


def test_commands_take_addresses_for_the_log_its_items_and_the_store(
    place: Place, service: Service, tmp_path: Path
) -> None:
    rows = [f"u{n % 12},i{n % 7},{1_700_000_000 + 1000 * n}" for n in range(120)]
    place.put("log/a.csv", "\n".join(["user_id,item_id,timestamp", *rows]).encode())
    titles = "\n".join(f"i{n},Title {n}" for n in range(7))
    place.put("items.csv", f"item_id,title\n{titles}".encode())
    store, environment = f"{place.address}/store", place.environment
    typed = [
        *("train", f"{place.address}/log", "--items", f"{place.address}/items.csv"),
        *("--store", store, "--model", "svd", "--factors", "4"),
        *("--set", "gates.enabled=false"),
    ]
    done = run(*typed, cwd=tmp_path, **environment)
    assert done.returncode == 0, done.stderr
    assert f" in {store}" in done.stdout
    assert not [path for path in tmp_path.iterdir() if not path.name.startswith("cache")]
    assert not [one for one in service.secrets if one in done.stdout + done.stderr]

    config = tmp_path / "night.toml"
    config.write_text(
        f'[data]\nlog = ["{place.address}/log/*.csv"]\nitems = "{place.address}/items.csv"\n'
        f'[nightly]\nstore = "{store}"\n[model]\nname = "svd"\nfactors = 4\n'
        "[gates]\nenabled = false\n"
    )
    more = "\n".join(f"v{n},i{n % 7},{1_700_200_000 + n}" for n in range(9))
    place.put("log/b.csv", f"user_id,item_id,timestamp\n{more}".encode())
    for words in (
        ("nightly", "--config", config),
        ("refresh", "--config", config),
        ("serve", "--check", "--store", store, "--port", "0"),
        ("batch", tmp_path / "lists", "--store", store),
        ("status", "--store", store),
        ("--cache", tmp_path / "cache-of-option", "versions", "--store", store),
    ):
        done = run(*words, cwd=tmp_path, **environment)
        assert done.returncode == 0, (words, done.stderr)
        assert "status" not in words or f"store         {store}" in done.stdout
    assert (tmp_path / "cache-of-option" / "stores").is_dir()


def test_copies_lie_where_the_environment_says_else_a_config(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, address = tmp_path / "shop.toml", address_of("s3://shop/log")
    monkeypatch.setenv("RECSYS_CACHE", "")
    for name in ("one", "other"):
        config.write_text(f'[data]\ncache = "{name}"\n')
        before = os.environ["RECSYS_CACHE"]
        settings = recsys.read_config(config)
        assert os.environ["RECSYS_CACHE"] == before  # reading settings has no effect
        with pytest.raises(recsys.DataError, match="no-log"):
            recsys.train(tmp_path / "no-log.csv", tmp_path / "store", settings=config)
        assert (tmp_path / name) in address.cached_in("logs").parents
        assert settings.data.cache == str(tmp_path / name)
    monkeypatch.setenv("RECSYS_CACHE", str(tmp_path / "third"))
    with pytest.raises(recsys.DataError, match="no-log"):
        recsys.train(tmp_path / "no-log.csv", tmp_path / "store", settings=config)
    assert (tmp_path / "third") in address.cached_in("logs").parents


def test_addresses() -> None:
    assert str(object_address(Path("s3://shop/a/b/"))) == "s3://shop/a/b"
    assert shown(Path("gs://shop/a")) == "gs://shop/a"
    assert shown("folder/a") == "folder/a"
    assert address_of("abfs://logs@shop.dfs.core.windows.net/a").bucket.endswith("windows.net")
    assert object_address("postgresql://db/shop") is None
    assert store_folder("folder") == Path("folder")
    assert address_of("s3://shop/log/day=*/x.csv").fixed_key == "log"
