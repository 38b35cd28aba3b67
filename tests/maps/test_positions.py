"""Positions on a plane: neighbours stay together, and a new map is like the one before."""

import numpy as np
import pytest

from recsys.base.errors import ConfigError
from recsys.maps import METHODS, positions
from recsys.maps.positions import between_neighbours, method_for, nearest, positions_of
from recsys.vectors.vector import unit_rows

RNG = np.random.default_rng(0)
GROUP = np.repeat(np.arange(4), 30)


def vectors(noise: float = 0.3, seed: int = 0) -> np.ndarray:
    """Four groups of 30 directions in eight dimensions."""
    rng = np.random.default_rng(seed)
    centers = np.eye(8)[:4]
    return unit_rows((centers[GROUP] + rng.normal(scale=noise, size=(120, 8))).astype(np.float32))


def moved(found: np.ndarray, before: np.ndarray) -> float:
    """The median move of a point, in spreads of the earlier map."""
    spread = np.sqrt(((before - before.mean(axis=0)) ** 2).sum(axis=1).mean())
    return float(np.median(np.linalg.norm(found - before, axis=1)) / spread)


def share_of_own_group(found: np.ndarray) -> float:
    """How many of the five nearest on the map are of the same group."""
    distances = np.linalg.norm(found[:, None] - found[None], axis=2)
    near = np.argsort(distances, axis=1)[:, 1:6]
    return float((GROUP[near] == GROUP[:, None]).mean())


def test_umap_keeps_groups_together_and_starts_where_the_earlier_map_was() -> None:
    equal = np.tile(unit_rows(np.ones((1, 4), np.float32)), (40, 1))
    for method in METHODS:  # here, as UMAP takes seconds to compile in each process
        assert np.isfinite(positions_of(equal, method=method)).all()

    units, later = vectors(), vectors() + RNG.normal(scale=0.02, size=(120, 8)).astype("f4")
    later = unit_rows(later)
    before = positions_of(units, method="umap", seed=3)
    assert np.array_equal(before, positions_of(units, method="umap", seed=3))
    assert share_of_own_group(before) > 0.95

    start = before.copy()
    start[::10] = np.nan  # new ones, which start amid their neighbours
    again = positions_of(later, method="umap", seed=4, start=start)
    fresh = positions_of(later, method="umap", seed=4)
    assert share_of_own_group(again) > 0.95
    assert moved(again, before) < 0.1
    assert moved(again, before) < moved(fresh, before) / 4


def test_principal_components_are_those_of_the_covariance() -> None:
    units = vectors()
    found = positions_of(units, method="pca")
    _, axes = np.linalg.eigh(np.cov(units.T.astype(np.float64)))
    expected = (units - units.mean(axis=0)) @ axes[:, [-1, -2]]
    ratio = found / expected
    assert np.allclose(np.abs(ratio), np.abs(ratio[0, 0]), rtol=1e-3)


def test_principal_components_are_turned_onto_the_earlier_map() -> None:
    units = vectors()
    turned = positions_of(units, method="pca") @ np.array([[0, 1], [1, 0]]) + [5, 7]
    assert np.allclose(positions_of(units, method="pca", start=turned), turned, atol=1e-4)


@pytest.mark.parametrize("n", [1, 2, 3, 15])
@pytest.mark.parametrize("factors", [1, 2, 8])
def test_few_points_and_few_factors_have_positions(n: int, factors: int) -> None:
    units = unit_rows(np.random.default_rng(n).normal(size=(n, factors)).astype(np.float32))
    found = positions_of(units, method="umap" if positions.find_spec("umap") else "pca")
    assert found.shape == (n, 2)
    assert np.isfinite(found).all()


def test_a_point_stands_between_its_nearest_neighbours() -> None:
    placed = np.eye(3, dtype=np.float32)
    places = np.array([[0, 0], [10, 0], [0, 10]], np.float32)
    found = between_neighbours(unit_rows(np.array([[1, 1, 0], [0, 0, 2]], "f4")), placed, places, 2)
    assert np.allclose(found, [[5, 0], [0, 10]], atol=1e-3)


def test_nearest_are_those_of_a_plain_search() -> None:
    units = vectors()
    rows, cosines = nearest(units, units, 5, without_itself=True)
    products = units @ units.T
    np.fill_diagonal(products, -2)
    assert np.array_equal(rows, np.argsort(-products, axis=1, kind="stable")[:, :5])
    assert np.allclose(cosines, -np.sort(-products, axis=1)[:, :5], atol=1e-6)


def test_the_method_is_umap_where_it_is_installed(monkeypatch: pytest.MonkeyPatch) -> None:
    assert method_for("pca") == "pca"
    monkeypatch.setattr(positions, "find_spec", lambda name: name)
    assert method_for(None) == "umap"
    monkeypatch.setattr(positions, "find_spec", lambda name: None)
    assert method_for(None) == "pca"
    with pytest.raises(ConfigError, match=r"expected the package umap.*'recsys-engine\[map\]'"):
        method_for("umap")
    with pytest.raises(ConfigError, match="expected one of umap, pca, got 'upam'; did you mean"):
        method_for("upam")
