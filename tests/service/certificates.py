"""Certificates that sign themselves, made by openssl."""

import shutil
import subprocess
from pathlib import Path

import pytest


def certificate(folder: Path, name: str = "own") -> tuple[Path, Path]:
    """Make a certificate of this machine, valid for 30 days, and its key."""
    if shutil.which("openssl") is None:
        pytest.skip("no openssl here")
    made, key = folder / f"{name}.pem", folder / f"{name}.key"
    names = "subjectAltName=DNS:localhost,IP:127.0.0.1"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-keyout", str(key), "-out", str(made), "-subj", "/CN=localhost"]
    command += ["-addext", names, "-days", "30"]
    subprocess.run(command, check=True, capture_output=True)
    return made, key


def expired(made: Path, key: Path) -> Path:
    """Make a certificate anew, as one that has expired."""
    old = made.with_suffix(".old")
    command = ["openssl", "x509", "-in", made, "-signkey", key, "-days", "-1", "-out", old]
    subprocess.run(command, check=True, capture_output=True)
    return old
