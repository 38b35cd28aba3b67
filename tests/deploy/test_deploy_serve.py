"""What is installed to serve is what systemd, Kubernetes, Prometheus and Grafana take."""

import json
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
import typer
import yaml

from recsys.cli.app import app
from recsys.config import read_config
from recsys.service import Service, new_key
from recsys.service.routes import ROUTES
from recsys.settings import IndexSettings
from recsys.store import publish
from tests.deploy.test_deploy import DEPLOY, ROOT, instructions
from tests.service.asking import get
from tests.service.conftest import release

COMMAND = ["serve", "--config", "/etc/recsys/serve.toml"]
NIGHTLY = {"recsys_log_newest_event_timestamp_seconds", "recsys_version_info", "recsys_evaluation"}
RUNBOOK = (ROOT / "docs" / "operations.md").read_text()


def documents() -> dict[str, dict]:
    found = yaml.safe_load_all((DEPLOY / "serve.yaml").read_text())
    return {document["kind"]: document for document in found}


def rules() -> list[dict]:
    groups = yaml.safe_load((DEPLOY / "alerts.yml").read_text())["groups"]
    return [rule for group in groups for rule in group["rules"]]


def expressions() -> list[str]:
    """Of the alerts and the panels."""
    dashboard = json.loads((DEPLOY / "dashboard.json").read_text())
    targets = [target for panel in dashboard["panels"] for target in panel.get("targets", ())]
    return [rule["expr"] for rule in rules()] + [target["expr"] for target in targets]


def filled(expression: str) -> str:
    """Return an expression with what Grafana puts in the place of its variables."""
    filled = expression.replace("$__rate_interval", "5m")
    return re.sub(r"\$(instance|route)\b", ".*", filled)


def test_the_settings_are_read_and_ask_for_keys() -> None:
    settings = read_config(DEPLOY / "recsys-serve.toml")
    assert not settings.service.is_local
    settings.service.require_safe()


def test_systemd_takes_the_service(tmp_path: Path) -> None:
    text = (DEPLOY / "recsys-serve.service").read_text()
    found = dict(re.findall(r"^(\w+)=(.*)$", text, flags=re.MULTILINE))
    assert found["ExecStart"].split()[1:] == COMMAND
    assert found["ExecStartPre"].split()[1:] == [*COMMAND, "--check"]
    assert (found["KillMode"], found["OOMPolicy"]) == ("mixed", "continue")
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    unit = tmp_path / "recsys-serve.service"
    unit.write_text(text.replace("/opt/recsys/bin/recsys", sys.executable))
    done = subprocess.run(["systemd-analyze", "verify", unit], capture_output=True, text=True)
    assert (done.returncode, "recsys-serve" in done.stderr) == (0, False), done.stderr


def test_kubernetes_takes_the_service() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate")
    for document in documents().values():
        kubernetes.validate(document, "1.30", strict=True)


def test_the_pods_are_probed_and_end_in_peace() -> None:
    deployment = documents()["Deployment"]["spec"]
    pod = deployment["template"]["spec"]
    (container,) = pod["containers"]
    assert container["args"] == COMMAND
    open_paths = {route.path for route in ROUTES if route.scope is None}
    for probe in ("startupProbe", "readinessProbe", "livenessProbe"):
        assert container[probe]["httpGet"]["path"] in open_paths
    assert container["readinessProbe"]["httpGet"]["path"] == "/health/ready"
    assert container["livenessProbe"]["httpGet"]["path"] == "/health/live"
    (port,) = container["ports"]
    assert instructions("EXPOSE") == [str(port["containerPort"])]
    pause = int(container["lifecycle"]["preStop"]["exec"]["command"][1])
    assert pod["terminationGracePeriodSeconds"] > pause + 20
    assert deployment["strategy"]["rollingUpdate"]["maxUnavailable"] == 0
    security = pod["securityContext"]
    user = f"{security['runAsUser']}:{security['runAsGroup']}"
    assert (user, security["runAsNonRoot"]) == (instructions("USER")[-1], True)
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts)
    settings = read_config(DEPLOY / "recsys-serve.toml").service
    assert settings.keys == f"{mounts['keys']}/keys.jsonl"
    assert settings.port == port["containerPort"]
    labels = deployment["template"]["metadata"]["labels"]
    for kind in ("Service", "PodDisruptionBudget"):
        selector = documents()[kind]["spec"]["selector"]
        assert selector.get("matchLabels", selector) == labels


def test_the_image_has_what_the_service_needs() -> None:
    assert "'.[serve,postgres,telemetry]'" in " ".join(instructions("RUN"))


def test_prometheus_takes_the_alerts_which_fire_when_they_should(tmp_path: Path) -> None:
    tool = shutil.which("promtool")
    if tool is None:
        pytest.skip("no promtool here; it comes with the package prometheus")
    for name in ("alerts.yml", "alerts_test.yml", "prometheus.yml"):
        shutil.copy(DEPLOY / name, tmp_path)
    (tmp_path / "prometheus.key").write_text(new_key(tmp_path / "keys.jsonl", "a", ("operate",)))
    rules = [{"record": f"panel:{n}", "expr": filled(one)} for n, one in enumerate(expressions())]
    panels = {"groups": [{"name": "panels", "rules": rules}]}
    (tmp_path / "panels.yml").write_text(yaml.safe_dump(panels))
    for command in (
        ["check", "config", "prometheus.yml"],
        ["check", "rules", "--lint-fatal", "panels.yml"],
        ["test", "rules", "alerts_test.yml"],
    ):
        done = subprocess.run([tool, *command], cwd=tmp_path, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout + done.stderr


def test_every_alert_is_in_the_runbook_and_the_runbook_has_no_other() -> None:
    headings = re.findall(r"^### (Recsys\w+)$", RUNBOOK, flags=re.MULTILINE)
    assert headings == [rule["alert"] for rule in rules()]
    for rule in rules():
        assert rule["labels"]["severity"] in ("page", "ticket")
        assert rule["annotations"]["summary"].endswith(".")


def test_what_the_runbook_types_is_taken_by_the_command_line() -> None:
    group: Any = typer.main.get_command(app)
    typed = re.findall(r"^(?:[^#\n]*[;&|] )?recsys ([^\n|;]*)", RUNBOOK, flags=re.MULTILINE)
    typed += re.findall(r"`recsys ([^`|]*)`", RUNBOOK)
    assert len(typed) > 20
    for line in typed:
        name, *arguments = shlex.split(line, comments=True)
        group.commands[name].make_context(name, arguments)  # raises where an option lacks
    programs = re.findall(r"\bjq\b[^']*'", RUNBOOK)
    assert len(programs) > 5
    # The journal has lines of systemd and of --check, which are no JSON.
    assert all("-R" in one for one in programs)
    assert RUNBOOK.count("'fromjson?") == len(programs)


def test_alerts_and_panels_ask_for_metrics_that_there_are(tmp_path: Path) -> None:
    publish(tmp_path, release(), IndexSettings(kind="exact"))
    service = Service(tmp_path).open()
    get(service, "/v1/users/never/recommendations")
    text = get(service, "/metrics").body.decode()
    exposed = set(re.findall(r"^# TYPE (\w+)", text, flags=re.MULTILINE))
    source = " ".join(
        path.read_text()
        for name in ("service/workers.py", "service/refresher.py", "nightly/telemetry.py")
        for path in [ROOT / "recsys" / name]
    )
    exposed |= set(re.findall(r'"(recsys_\w+)"', source))  # with TLS, refreshes, nights
    documented = set(re.findall(r"`(recsys_\w+)`", RUNBOOK))
    assert {name for name in exposed if "nightly" not in name} - NIGHTLY == documented
    asked = {name for one in expressions() for name in re.findall(r"\brecsys_\w+", one)}
    asked = {re.sub(r"(_seconds)_bucket$", r"\1", name) for name in asked}
    assert asked <= exposed
    assert len(asked) > 20


def test_the_codes_and_routes_that_alerts_name_exist() -> None:
    from recsys.service.problems import PROBLEMS

    for rule in rules():
        for found in re.findall(r'code=~?"([^"]*)"', rule["expr"]):
            assert set(found.split("|")) <= set(PROBLEMS)
        for found in re.findall(r'route=~?"([^"]*)"', rule["expr"]):
            assert set(found.split("|")) <= {route.name for route in ROUTES}
