"""The same kernels and fits on a card, where one is: `pytest -m gpu tests/cuda`."""

import numpy as np
import pytest

from recsys.base.devices import on_device
from recsys.cuda.backend import Backend
from recsys.cuda.device import open_card
from recsys.cuda.rows import Number
from recsys.errors import ConfigError
from tests.cuda.rows_twin import case_of
from tests.cuda.test_fit import MODELS, WORLD, losses_and_vectors
from tests.cuda.test_lists import FACTORS, are_right, world_of
from tests.cuda.test_rows import LENGTHS, OF_LOSSES, OF_ROWS, SHAPES, errors
from tests.models import als_twin

pytestmark = pytest.mark.gpu


@pytest.fixture(scope="module")
def card() -> Backend:
    try:
        return open_card()
    except ConfigError as error:
        pytest.skip(str(error))


@pytest.mark.parametrize(("number", "width"), SHAPES, ids=str)
def test_kernels_take_the_steps_of_the_twin(card: Backend, number: Number, width: int) -> None:
    for steps in (1, 3):
        of_rows, of_losses = errors(card, case_of(LENGTHS, width, seed=width), number, steps)
        assert of_rows < OF_ROWS
        assert of_losses < OF_LOSSES


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_is_as_good_as_that_of_the_cpu_and_the_same_twice(card: Backend, name: str) -> None:
    als = MODELS[name]
    with on_device("cuda"):
        losses, embeddings = losses_and_vectors(als)
        assert losses_and_vectors(als)[1].items.tobytes() == embeddings.items.tobytes()
    assert losses[-1] < losses_and_vectors(als)[0][-1] * 1.001
    exact = als_twin.solve_users(als, WORLD, embeddings.items)
    off = np.linalg.norm(embeddings.users - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert off.max() < 1e-5


@pytest.mark.parametrize("factors", FACTORS)
def test_lists_are_those_of_numpy_and_the_same_twice(card: Backend, factors: int) -> None:
    world = world_of(factors, seed=factors, n_users=300)
    for by_groups in (False, True):
        assert are_right(card, world, by_groups=by_groups)
        assert are_right(card, world, by_groups=by_groups)
