"""What is installed to run the night is what systemd, cron, Docker and Kubernetes take."""

import os
import re
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "pipelines" / "deploy"
COMMAND = ["nightly", "--config", "/etc/recsys/nightly.toml"]


def dockerfile() -> list[list[str]]:
    """The instructions, lines joined, comments left out."""
    text = (DEPLOY / "Dockerfile").read_text()
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    joined = "\n".join(lines).replace("\\\n", " ")
    return [line.split(None, 1) for line in joined.splitlines() if line.strip()]


def instructions(name: str) -> list[str]:
    return [value for instruction, value in dockerfile() if instruction == name]


def test_the_dockerfile_passes_a_linter() -> None:
    linter = shutil.which("hadolint", path=f"{Path(sys.executable).parent}:{os.environ['PATH']}")
    if linter is None:
        pytest.skip("no hadolint here")
    done = subprocess.run([linter, str(DEPLOY / "Dockerfile")], capture_output=True, text=True)
    assert done.returncode == 0, done.stdout


def test_the_container_runs_the_night_as_nobody_special() -> None:
    assert instructions("USER")[-1] == "10001:10001"
    assert yaml.safe_load(instructions("ENTRYPOINT")[-1]) == ["recsys"]  # no shell: signals arrive
    assert yaml.safe_load(instructions("CMD")[-1]) == COMMAND
    for copied in instructions("COPY"):
        if not copied.startswith("--from"):
            assert all((ROOT / path).exists() for path in copied.split()[:-1])


def test_the_container_gets_all_that_the_build_needs_and_nothing_else() -> None:
    kept = (DEPLOY / "Dockerfile.dockerignore").read_text().split()
    copied = {path for line in instructions("COPY") for path in line.split()[:-1]}
    assert {line[1:] for line in kept if line.startswith("!")} == {
        path for path in copied if not path.startswith(("/", "--"))
    }


def test_nothing_is_compiled_for_the_machine_that_builds() -> None:
    arguments = re.search(r'ANNOY_COMPILER_ARGS="(.*?)"', " ".join(instructions("ENV")))
    assert arguments is not None
    assert "native" not in arguments[1]
    assert "-DANNOYLIB_MULTITHREADED_BUILD" in arguments[1].split(",")
    assert "--no-binary annoy" in " ".join(instructions("RUN"))
    assert "native" not in (ROOT / "hatch_build.py").read_text()


def test_systemd_takes_the_service_and_the_timer(tmp_path: Path) -> None:
    if shutil.which("systemd-analyze") is None:
        pytest.skip("no systemd-analyze here")
    for name in ("recsys-nightly.service", "recsys-nightly.timer"):
        text = (DEPLOY / name).read_text()  # it looks for the program, which is not installed here
        (tmp_path / name).write_text(text.replace("/opt/recsys/bin/recsys", sys.executable))
    units = [str(path) for path in sorted(tmp_path.iterdir())]
    done = subprocess.run(["systemd-analyze", "verify", *units], capture_output=True, text=True)
    assert done.returncode == 0, done.stderr
    ours = [line for line in done.stderr.splitlines() if "recsys-nightly" in line]
    assert ours == []


def test_the_service_does_not_repeat_what_was_refused() -> None:
    text = (DEPLOY / "recsys-nightly.service").read_text()
    assert "RestartPreventExitStatus=1 2\n" in text
    assert "SuccessExitStatus=143\n" in text
    (command,) = re.findall(r"^ExecStart=(.*)$", text, flags=re.MULTILINE)
    assert shlex.split(command)[1:] == COMMAND


def test_the_line_of_cron_is_one() -> None:
    text = (DEPLOY / "recsys-nightly.cron").read_text()
    assert text.endswith("\n")  # cron leaves out a last line without
    lines = [line for line in text.splitlines() if not line.startswith("#")]
    (line,) = [line for line in lines if not re.match(r"\w+=", line)]
    *when, user, command = line.split(None, 6)
    assert all(re.fullmatch(r"[\d*/,-]+", field) for field in when)
    assert len(when) == 5
    assert user == "recsys"
    assert "%" not in command  # which cron takes for a line break
    assert shlex.split(command)[1:4] == COMMAND


def cronjob() -> dict:
    (found,) = (
        document
        for document in yaml.safe_load_all((DEPLOY / "cronjob.yaml").read_text())
        if document["kind"] == "CronJob"
    )
    return found


def test_kubernetes_takes_the_cronjob() -> None:
    kubernetes = pytest.importorskip("kubernetes_validate", reason="no kubernetes-validate")
    for document in yaml.safe_load_all((DEPLOY / "cronjob.yaml").read_text()):
        kubernetes.validate(document, "1.30", strict=True)


def test_the_cronjob_runs_one_night_at_a_time_that_can_go_on() -> None:
    spec = cronjob()["spec"]
    job = spec["jobTemplate"]["spec"]
    pod = job["template"]["spec"]
    (container,) = pod["containers"]
    assert spec["concurrencyPolicy"] == "Forbid"
    assert pod["restartPolicy"] == "Never"
    assert pod["terminationGracePeriodSeconds"] >= 60
    assert container["args"] == COMMAND
    refused = job["podFailurePolicy"]["rules"][0]
    assert refused == {
        "action": "FailJob",
        "onExitCodes": {"operator": "In", "values": [1, 2]},
    }
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert (
        f"{pod['securityContext']['runAsUser']}:{pod['securityContext']['runAsGroup']}"
        == (instructions("USER")[-1])
    )
    assert container["securityContext"]["readOnlyRootFilesystem"] is True
    mounts = {mount["name"]: mount["mountPath"] for mount in container["volumeMounts"]}
    assert mounts["state"] == instructions("WORKDIR")[-1]
    assert mounts["config"] == str(Path(COMMAND[-1]).parent)
    assert {volume["name"] for volume in pod["volumes"]} == set(mounts)
    assert {"cpu", "memory"} <= set(container["resources"]["requests"])
