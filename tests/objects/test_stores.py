"""A store in a bucket of a real S3 service: published, opened, activated, pruned, under faults."""

import os
import random
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import pytest

from recsys.errors import CorruptVersionError, StoreError, VersionNotFoundError
from recsys.objects import Bucket, TakenError, object_address
from recsys.service.opened import CurrentVersion
from recsys.serving import open as open_store
from recsys.settings import IndexSettings
from recsys.store import (
    Version,
    activate,
    activations,
    current,
    describe_versions,
    open_version,
    pin,
    pinned,
    prune,
    publish,
    remote,
    rollback,
    unpin,
    verify,
    version_before,
    versions,
)
from tests.objects.conftest import Machine, Publishers
from tests.store.releases import small_release

ALL_KILLS = os.environ.get("RECSYS_OBJECT_KILLS") == "all"  # `make faults` has it
SETTINGS = IndexSettings(kind="exact", similar_users=False)
Machines = Callable[..., Machine]


def published(machine: Machine, seed: int = 0) -> Version:
    return publish(machine.store, small_release(seed=seed, titles=False), SETTINGS)


def bucket_of(machine: Machine) -> Bucket:
    with machine.here():
        bucket = Bucket(object_address(machine.address), AssertionError)
        bucket.listing()  # so it is open, wherever the environment leads later
    return bucket


def test_what_one_machine_publishes_another_opens_activates_pins_and_prunes(
    machine: Machines,
) -> None:
    one, other = machine(), machine()
    first = published(one)
    with other.here() as address:
        assert open_store(address).recommend("u1", 3).version == first.name
        assert repr(versions(address)[0]) == f"Version({first.name!r} in {address!r})"
    second = published(other, 1)
    assert second.manifest.parent == first.name
    assert [row["version"] for row in describe_versions(one.store)] == [second.name, first.name]
    assert version_before(one.store) == rollback(one.store).name == first.name
    assert current(other.store) == first.name
    assert activate(other.store, second.name).name == second.name
    kinds = [one.kind for one in activations(one.store)]
    assert kinds == ["activate", "activate", "rollback", "activate"]
    pin(one.store, first.name)
    assert pinned(other.store) == {first.name}
    third = published(one, 2)
    assert prune(other.store, 1).kept[first.name] == "pinned"
    unpin(other.store, first.name)
    assert first.name in prune(other.store, 1, dry_run=True).deleted
    assert prune(other.store, 1).deleted == (first.name,)
    assert {one.name for one in versions(one.store)} == {second.name, third.name}
    with pytest.raises(VersionNotFoundError, match=f"://.*holds no version '{first.name}"):
        open_version(one.store, first.name)
    assert not [key for key in bucket_of(one).listing() if first.name in key]
    assert verify(other.store).name == third.name


def test_a_version_that_somebody_has_open_is_kept_until_the_lease_runs_out(
    machine: Machines, monkeypatch: pytest.MonkeyPatch
) -> None:
    one, other = machine(), machine()
    names = [published(one, seed).name for seed in range(2)]
    opened = open_version(other.store, names[0])
    names += [published(one, seed).name for seed in range(2, 4)]
    assert prune(one.store, 1).kept[names[0]] == "open"
    monkeypatch.setattr(remote, "LEASE_SECONDS", -60.0)  # as if it was not renewed
    assert prune(one.store, 1).deleted == (names[0],)
    assert len(opened.users.ids) == 12  # its copy is whole
    assert opened.popular.size == 30


def test_what_is_taken_up_while_it_is_being_deleted_stays(machine: Machines) -> None:
    other = machine()
    names = [published(other, seed).name for seed in range(5)]
    take_up = [activate, open_version, pin]
    held: list[object] = []

    def at(_: int, line: str) -> str:
        if line.startswith("PUT") and "DELETED" in line:
            held.append(take_up[len(held)](other.store, names[len(held)]))
        return "pass"

    assert prune(machine(at).store, 1).deleted == ()
    assert len(held) == 3
    assert [one.name for one in versions(other.store)] == names[::-1]
    held.clear()

    bucket = bucket_of(other)
    bucket.put(f"versions/{names[1]}/DELETED", b"")  # a prune was killed after that
    for take in take_up:
        with pytest.raises(VersionNotFoundError):
            take(other.store, names[1])
    prune(other.store, 5)  # ends what the other began
    assert not [key for key in bucket.listing() if names[1] in key]
    assert verify(machine().store).name == names[0]

    reader = machine()
    for name in names[2:]:
        open_version(reader.store, name)
    open_version(reader.store)
    copies = {path.name for path in (reader.store / "versions").iterdir()}
    assert copies == {names[0], *names[3:]}  # they do not grow without end

    path = reader.store / "versions" / names[0] / "users.parquet"
    path.chmod(0o644)
    path.write_bytes(path.read_bytes()[:-10])
    assert open_version(reader.store).version.name == names[0]  # of a new copy


def test_a_publisher_killed_at_any_request_leaves_whole_versions(
    machine: Machines,
    publishers: Publishers,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    reader = machine()
    counted = machine(lambda *_: "pass")
    publishers.start((counted, 0))
    assert publishers.end() == 0
    n_requests, known = len(counted.proxy.lines), {current(reader.store)}
    verify(reader.store)
    deaths = [(n, how) for n in range(1, n_requests + 4) for how in ("cut before", "cut after")]
    if not ALL_KILLS:  # in the middle of the files, and at each write that others see
        late = [n for n, line in enumerate(counted.proxy.lines, 1) if _is_seen(line)]
        deaths = [(n_requests // 2, "cut after"), *((n + 1, "cut after") for n in late)]
    for seed, (at, how) in enumerate(deaths, 1):
        death = Death(at, how)
        (death.pid,) = publishers.start((machine(death), seed))
        death.known.set()
        ended = publishers.end()
        assert ended in (0, -signal.SIGKILL)
        names = {one.name for one in versions(reader.store)}
        for name in names - known:
            verify(reader.store, name)
        assert current(reader.store) in names
        assert activations(reader.store)[-1].version == current(reader.store)
        assert known <= names
        known = names
    monkeypatch.setattr(remote, "_UPLOAD_DAYS", -1.0)
    monkeypatch.setattr(remote, "LEASE_SECONDS", -60.0)
    last = published(reader, 10_000)
    prune(reader.store, 1)
    kept = {one.name for one in versions(reader.store)}
    assert last.name in kept
    found = {key.split("/")[1] for key in bucket_of(reader).listing("versions")}
    assert found == kept


class Death:
    """Kills a process at one of its requests, before that arrives or after."""

    def __init__(self, at: int, how: str) -> None:
        self.at, self.how, self.pid, self.known = at, how, 0, threading.Event()

    def __call__(self, n: int, _: str) -> str:
        self.known.wait()
        if n != self.at:
            return "pass"
        os.kill(self.pid, signal.SIGKILL)
        return self.how


def _is_seen(line: str) -> bool:
    """Whether a request makes, or announces, what others see."""
    names = ("manifest.json", "ACTIVATIONS", "CURRENT")
    return line.startswith("PUT") and any(f"/{name} " in line for name in names)


def test_of_two_publishers_that_meet_the_later_is_compared_with_the_earlier(
    machine: Machines,
) -> None:
    other = machine()
    first, met = published(other), list[str]()

    def at(_: int, line: str) -> str:
        if "users.parquet" in line and not met:
            met.append(published(other, 1).name)
        return "pass"

    third = published(machine(at), 2)
    assert third.manifest.parent == met[0] != first.name
    assert third.name > met[0]
    assert current(other.store) == third.name
    assert len(versions(other.store)) == 3


def test_of_two_publishers_that_meet_at_current_one_is_refused_and_kept(
    machine: Machines,
) -> None:
    other = machine()
    published(other)
    met = list[str]()

    def at(_: int, line: str) -> str:
        if line.startswith("PUT") and "manifest.json" in line and not met:
            met.append(published(other, 1).name)
        return "pass"

    with pytest.raises(
        StoreError, match="another process made .* current meanwhile; both are kept"
    ):
        published(machine(at), 2)
    assert current(other.store) == met[0]
    assert activations(other.store)[-1].version == met[0]
    names = [one.name for one in versions(other.store)]
    assert len(names) == 3
    for name in names:
        verify(other.store, name)


def test_of_writers_that_meet_under_one_condition_one_wins(machine: Machines) -> None:
    bucket = bucket_of(machine())

    def has_won(key: str, text: bytes, over: str | None) -> bool:
        try:
            bucket.write(key, text, over=over)
        except TakenError:
            return False
        return True

    with ThreadPoolExecutor(8) as writers:
        for n in range(100 if ALL_KILLS else 1):
            for over in (None, bucket.write(f"replaced-{n}", b"first")):
                key = f"{'created' if over is None else 'replaced'}-{n}"
                texts = [f"writer {one}".encode() for one in range(8)]
                won = list(writers.map(partial(has_won, key, over=over), texts))
                assert won.count(True) == 1
                assert bucket.read(key)[0] == texts[won.index(True)]


def test_publishers_at_once_lose_and_mix_no_version(
    machine: Machines, publishers: Publishers
) -> None:
    pair = [machine(), machine()]
    n_rounds = 6 if ALL_KILLS else 1
    for seed in range(n_rounds):
        publishers.start(*((at, 10 * seed + n) for n, at in enumerate(pair)))
        assert 0 in [publishers.end() for _ in pair]
    reader = machine()
    names = {one.name for one in versions(reader.store)}
    assert len(names) == 2 * n_rounds
    for name in names:
        verify(reader.store, name)
    assert current(reader.store) in names
    assert activations(reader.store)[-1].version == current(reader.store)


def test_cut_connections_change_nothing(machine: Machines) -> None:
    rng = random.Random(0)
    cuts = list[str]()

    def at(_: int, line: str) -> str:
        what = rng.choice(["cut before", "cut after", "half"] + ["pass"] * 12)
        cuts.extend([] if what == "pass" else [f"{what} {line}"])
        return what

    one, other = machine(at), machine(at)
    names = [published(one, seed).name for seed in range(2)]
    assert verify(other.store).name == names[1]
    assert rollback(other.store).name == names[0]
    published(one, 2)
    assert prune(other.store, 1).kept.keys() >= {names[0]}
    assert len(cuts) > 10
    assert activations(machine().store)[-1].version == current(machine().store)


def test_a_server_takes_up_the_next_version_whole_and_outlives_the_bucket(
    machine: Machines,
) -> None:
    is_cut, events = False, list[str]()
    one, server = machine(), machine(lambda *_: "cut before" if is_cut else "pass")
    first = published(one)
    serving = CurrentVersion(server.store, events.append)
    serving.refresh()
    assert serving.opened.version == first.name
    second = published(one, 1)
    _look(server)
    serving.refresh()
    assert serving.opened.version == second.name

    third = published(one, 2)
    bucket = bucket_of(one)
    key = f"versions/{third.name}/users.parquet"
    content, _ = bucket.read(key)
    bucket.put(key, content[:-1] + bytes([content[-1] ^ 1]))  # of the same size
    _look(server)
    serving.refresh()
    assert serving.opened.version == second.name
    assert events == ["opened", "opened", "refused"]
    with pytest.raises(CorruptVersionError, match=r"://.*users\.parquet: expected sha256"):
        verify(machine().store)

    activate(one.store, second.name)
    current(server.store)
    is_cut = True
    _look(server)
    serving.refresh()
    assert serving.opened.version == second.name
    again = CurrentVersion(server.store, events.append)
    with pytest.warns(RuntimeWarning, match="serving the local copy of"):
        again.refresh()
    assert again.opened.version == second.name


def _look(machine: Machine) -> None:
    """Let CURRENT be looked at again: it is known for a second."""
    remote.remote_of(machine.store)._signature = (0.0, "")
