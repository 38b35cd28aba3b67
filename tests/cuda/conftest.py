"""An emulator of a card for the tests of this folder."""

from pathlib import Path

import pytest

from tests.cuda.emulator import COMPILER, Emulator


@pytest.fixture(scope="session")
def kernels(pytestconfig: pytest.Config) -> Path:
    """The folder of compiled kernels, which outlives a session: they are named by their source."""
    if COMPILER is None:
        pytest.skip("no g++, which compiles the kernels for the CPU")
    return Path(pytestconfig.cache.mkdir("kernels"))


@pytest.fixture(scope="session")
def emulator(kernels: Path) -> Emulator:
    return Emulator(kernels)
