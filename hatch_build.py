"""Compile the search when the package is built or installed."""

import os
import shlex
import subprocess
import sysconfig
from pathlib import Path
from typing import Any

from hatchling.builders.hooks.plugin.interface import BuildHookInterface

SOURCE, LIBRARY = "recsys/index/kernel.c", "recsys/index/_kernel.so"
# Sums may be taken in any order, as vector registers need it; what is no number stays none.
FLAGS = (
    "-std=gnu11 -O3 -fPIC -shared "
    "-fno-math-errno -fno-trapping-math -fno-signed-zeros -fassociative-math"
)


class CompileSearch(BuildHookInterface[Any]):
    """Runs the C compiler: $CC, or the one that compiled Python, or cc."""

    def initialize(self, _version: str, build_data: dict[str, Any]) -> None:
        """Compile, and mark the wheel as one for this platform and any Python."""
        if self.target_name != "wheel":
            return
        root = Path(self.root)
        compiler = os.environ.get("CC") or sysconfig.get_config_var("CC") or "cc"
        # Elsewhere first: a process that has the old one mapped keeps it.
        temporary = root / f"{LIBRARY}.{os.getpid()}"
        command = [*shlex.split(compiler), *FLAGS.split(), str(root / SOURCE), "-o", str(temporary)]
        try:
            subprocess.run([*command, "-lm"], check=True)
        except (OSError, subprocess.CalledProcessError) as error:
            temporary.unlink(missing_ok=True)
            raise SystemExit(
                f"recsys: expected a C compiler to build {SOURCE}, got: {error}; install gcc, or "
                "name another one by the environment variable CC"
            ) from error
        temporary.replace(root / LIBRARY)
        build_data["pure_python"] = False
        build_data["tag"] = (
            f"py3-none-{sysconfig.get_platform().replace('-', '_').replace('.', '_')}"
        )
        build_data["artifacts"].append(LIBRARY)
