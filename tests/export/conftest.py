"""What the tests of exports share."""

import pytest


@pytest.fixture(autouse=True)
def _by_principal_components(monkeypatch: pytest.MonkeyPatch) -> None:
    """Maps are made without UMAP, which takes seconds to compile: tests/maps has it."""
    monkeypatch.setattr("recsys.maps.positions.find_spec", lambda name: None)
