"""What keeps a service from starting, or an operator should know, is found before it listens."""

import json
import shutil
import socket
import threading
from pathlib import Path

import pytest

from recsys.errors import ConfigError
from recsys.events import EventSettings, open_events
from recsys.service import ServiceSettings, StartCheck, check, new_key, serve, startup
from recsys.service.certificate import certificate_until, days_until
from recsys.service.startup import address_of, wait_for_address
from recsys.settings import IndexSettings
from recsys.store import publish, versions
from tests.command_line import run
from tests.service.certificates import certificate, expired
from tests.service.conftest import release

pytest.importorskip("granian", reason="make install brings what serves")


def found(checked: StartCheck, level: str) -> dict[str, str]:
    return {one.subject: one.detail for one in checked.findings if one.level == level}


def test_what_is_well_is_shown(store: Path) -> None:
    checked = check(store, ServiceSettings(port=0))
    assert checked.error is None
    assert checked.version == versions(store)[0].name
    assert set(found(checked, "ok")) == {"server", "address", "keys", "store", "events"}
    assert found(checked, "warning") == {}


def test_every_error_is_shown_and_not_the_first_alone(tmp_path: Path) -> None:
    made, _ = certificate(tmp_path)
    _, other_key = certificate(tmp_path, "other")
    settings = ServiceSettings(
        host="203.0.113.9",  # of a network for documents, which nobody has
        keys=str(tmp_path / "none"),
        tls_certificate=str(made),
        tls_key=str(other_key),
    )
    checked = check(tmp_path / "absent", settings)
    errors = found(checked, "error")
    assert set(errors) == {"address", "keys", "certificate", "store"}
    assert "203.0.113.9" in errors["address"]
    assert isinstance(checked.error, ConfigError)
    shown = checked.to_dict()
    assert (shown["would_start"], shown["version"]) == (False, None)
    assert len(shown["findings"]) == len(checked.findings)


def test_a_port_that_another_server_has_is_refused(store: Path, monkeypatch) -> None:
    """The system would share it between both, and callers would get either."""
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEPORT, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        assert "is free" in found(check(store, ServiceSettings(port=port)), "error")["address"]
        monkeypatch.setattr(startup, "_FREED_SECONDS", 0.0)
        with pytest.raises(ConfigError, match=f"and {port}: Address already in use"):
            serve(store, ServiceSettings(port=port))


def test_a_port_that_a_killed_service_still_has_is_waited_for() -> None:
    taken = socket.create_server(("127.0.0.1", 0))
    settings = ServiceSettings(port=taken.getsockname()[1])
    freed = threading.Timer(0.2, taken.close)
    freed.start()
    wait_for_address(settings)
    freed.join()
    assert address_of(settings) == "127.0.0.1"


def test_keys_that_others_may_change_and_metrics_that_nobody_reads_are_warned_of(
    store: Path, tmp_path: Path
) -> None:
    file = tmp_path / "keys.jsonl"
    new_key(file, "shop")
    settings = ServiceSettings(host="localhost", port=0, keys=str(file))
    assert "/metrics" in found(check(store, settings), "warning")["keys"]
    new_key(file, "prometheus", ("operate",))
    checked = check(store, settings)
    assert found(checked, "ok")["keys"].endswith("operate 1, read 1")
    assert found(checked, "warning") == {}
    file.chmod(0o666)
    assert "chmod 600" in found(check(store, settings), "warning")["keys"]


def test_certificates_are_held_to_their_key_and_their_days(tmp_path: Path) -> None:
    made, key = certificate(tmp_path)
    assert days_until(certificate_until(made, key)) == 29
    with pytest.raises(ConfigError, match="certificate has expired"):
        certificate_until(expired(made, key), key)
    for wrong in ((made, made), (key, key), (tmp_path / "none", key)):
        with pytest.raises(ConfigError, match=r"service\.tls_certificate: expected"):
            certificate_until(*wrong)


def test_a_store_that_needs_a_person_is_warned_of(tmp_path: Path) -> None:
    folder = tmp_path / "store"
    first = publish(folder, release(), IndexSettings(kind="exact"))
    settings = ServiceSettings(port=0, where_columns=("price", "colour"))
    assert found(check(folder, settings), "warning")["store"].endswith("no column colour")
    second = publish(folder, release(seed=1), IndexSettings(kind="exact"))
    (second.folder / "items.parquet").write_bytes(b"")
    checked = check(folder, ServiceSettings(port=0))
    assert (checked.error, checked.version) == (None, first.name)
    assert "items.parquet" in found(checked, "warning")["store"]
    shutil.rmtree(folder / "versions")
    (folder / "versions").mkdir()
    (folder / "CURRENT").unlink()
    done = run("serve", "--check", "--store", folder, "--json", "--port", "0")
    assert (done.returncode, json.loads(done.stdout)["version"]) == (0, None)


def test_a_database_of_events_is_looked_at(store: Path, tmp_path: Path) -> None:
    def seen(level: str, database: Path) -> str:
        checked = check(store, ServiceSettings(port=0), EventSettings(database=str(database)))
        assert checked.error is None  # lists go on without
        return found(checked, level)["events"]

    absent = tmp_path / "deep" / "live.sqlite"
    assert seen("ok", absent) == f"to be kept in {absent}"
    assert not absent.parent.exists()
    open_events(store, EventSettings(database=str(absent))).close()
    assert seen("ok", absent) == f"kept in {absent}"
    absent.write_bytes(b"no database" * 100)
    assert seen("warning", absent).endswith("; lists would go on")
    absent.unlink()
    assert "put it back from a backup" in seen("warning", absent)
    assert found(check(store, ServiceSettings(port=0), EventSettings(enabled=False)), "ok")[
        "events"
    ].startswith("none")
