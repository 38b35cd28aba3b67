"""A whole fit on a card that is emulated, beside the fit of the CPU."""

import sys
from dataclasses import replace
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.base.devices import on_device
from recsys.config import settings_from
from recsys.cuda import device
from recsys.errors import ConfigError, DivergedError
from recsys.features import Features
from recsys.models import ALS
from recsys.models.als import on_card
from recsys.models.als.on_card import CardSweeps
from recsys.models.als.plan import steps_of
from recsys.models.protocol import Epoch, mean_weight_of, normalized, popularity_of
from recsys.training import computed_on
from recsys.vectors import Embeddings
from tests.cuda.emulator import Emulator
from tests.models import als_twin
from tests.models.test_als import MODELS as MODELS_OF_THE_CPU
from tests.models.test_als import full
from tests.worlds import random_user_items

WORLD = full(random_user_items(70, 40, 0.15, seed=1))
MODELS = {
    "plain": ALS(factors=12, regularization=0.1, iterations=8, seed=4),
    "weighted": replace(
        MODELS_OF_THE_CPU["weighted"], factors=33, regularization=0.05, iterations=8
    ),
}
PLAIN = MODELS["plain"]
real_open_card = device.open_card
SHORT = on_card.Schedule(warps=(1, 2), columns_per_warp=8, longest=20, piece=7)


@pytest.fixture(autouse=True)
def card(emulator: Emulator, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the machine have a card, and let rows be cut as if they were long."""
    monkeypatch.setattr(device, "open_card", lambda: emulator)
    monkeypatch.setattr(on_card, "Schedule", lambda: SHORT)


@cache
def fitted(name: str, on: str) -> tuple[Embeddings, tuple[float, ...], Embeddings]:
    """Return what a fit gives, its losses, and the embeddings after the last epoch."""
    epochs: list[tuple[float, Embeddings]] = []
    with on_device(on):  # type: ignore[arg-type]
        embeddings = MODELS[name].fit(
            WORLD, on_epoch=lambda epoch: epochs.append((epoch.loss, epoch.embeddings()))
        )
    return embeddings, tuple(loss for loss, _ in epochs), epochs[-1][1]


def losses_and_vectors(als: ALS) -> tuple[list[float], Embeddings]:
    """Return the losses of a fit on the device of the block, and what it gives."""
    losses: list[float] = []
    embeddings = als.fit(WORLD, on_epoch=lambda epoch: losses.append(epoch.loss))
    return losses, embeddings


@pytest.mark.parametrize("name", MODELS)
def test_a_fit_on_a_card_is_as_good_as_that_of_the_cpu(name: str) -> None:
    _, of_cpu, _ = fitted(name, "cpu")
    embeddings, losses, last = fitted(name, "cuda")
    assert losses != of_cpu  # it ran elsewhere
    np.testing.assert_allclose(losses[:3], of_cpu[:3], rtol=1e-3)
    assert losses[-1] < of_cpu[-1] * 1.001
    assert abs(losses[-1] / als_twin.loss(MODELS[name], WORLD, last) - 1) < 1e-3
    exact = als_twin.solve_users(MODELS[name], WORLD, embeddings.items)
    off = np.linalg.norm(embeddings.users - exact, axis=1) / np.linalg.norm(exact, axis=1)
    assert off.max() < 1e-5


def test_folding_in_a_history_gives_the_row_that_a_card_has_found() -> None:
    embeddings, _, _ = fitted("weighted", "cuda")
    fold_in = MODELS["weighted"].fold_in(
        embeddings.items, popularity_of(WORLD), mean_weight_of(WORLD)
    )
    np.testing.assert_allclose(fold_in(WORLD), embeddings.users, rtol=1e-3, atol=1e-5)


def test_a_fit_gives_the_same_bits_and_parts_of_a_large_log_the_same_vectors(
    kernels: Path,
) -> None:
    whole, losses, _ = fitted("plain", "cuda")
    again = PLAIN.fit(WORLD, device="cuda")
    assert again.users.tobytes() == whole.users.tobytes()
    assert again.items.tobytes() == whole.items.tobytes()
    room = 3 * 4 * 32 * sum(WORLD.shape)
    sweeps = CardSweeps(Emulator(kernels, free_bytes=room + 4 * 8 * 60), PLAIN, normalized(WORLD))
    assert len(list(sweeps.users.plans())) > 5
    in_parts = [sweeps.epoch(number, steps_of(number, None)) for number in (1, 2, 3)]
    np.testing.assert_allclose(in_parts, losses[:3], rtol=1e-5)
    with pytest.raises(ConfigError, match="device: expected a card with .* GB free for the vec"):
        CardSweeps(Emulator(kernels, free_bytes=room - 1), PLAIN, WORLD)


def test_a_warm_start_and_an_early_stop_are_those_of_the_cpu() -> None:
    start = fitted("plain", "cuda")[0]
    numbers: list[int] = []

    def stop_at_two(epoch: Epoch) -> bool:
        numbers.append(epoch.number)
        return epoch.number == 2

    warm = PLAIN.fit(WORLD, start=start, on_epoch=stop_at_two, device="cuda")
    assert numbers == [1, 2]
    before, after = (als_twin.loss(PLAIN, WORLD, one) for one in (start, warm))
    assert after < before


def test_rows_without_interactions_become_zero() -> None:
    world = WORLD.tolil()
    world[3], world[:, 5] = 0, 0
    on_the_card = PLAIN.fit(sp.csr_array(world), device="cuda")
    assert not on_the_card.users[3].any()
    assert not on_the_card.items[5].any()


@pytest.mark.filterwarnings("ignore:(overflow|invalid value|divide by zero) encountered")
def test_what_diverges_on_a_card_says_why() -> None:
    huge = Embeddings(*(np.full((n, 12), 1e30, dtype=np.float32) for n in WORLD.shape))
    with pytest.raises(DivergedError, match=r"epoch 1; weights go from .* to .*regularization"):
        PLAIN.fit(WORLD, start=huge, device="cuda")


def test_auto_takes_the_card_where_the_work_pays(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(device, "find_spec", lambda name: object())
    of_cpu = PLAIN.fit(WORLD, device="cpu")
    assert PLAIN.fit(WORLD, device="auto").items.tobytes() == of_cpu.items.tobytes()
    monkeypatch.setattr(on_card, "_WORTH", 1.0)
    assert PLAIN.fit(WORLD, device="auto").items.tobytes() != of_cpu.items.tobytes()
    too_wide = ALS(factors=600, iterations=1)
    assert too_wide.fit(WORLD, device="auto").factors == 600  # by the CPU
    with pytest.raises(ConfigError, match="als.factors: expected at most 512 on a card, got 600"):
        too_wide.fit(WORLD, device="cuda")


def test_the_device_of_a_config_is_that_of_its_fits_and_a_model_without_kernels_an_error() -> None:
    chosen = {"model": {"name": "als", "factors": 12}, "compute": {"device": "cuda"}}
    with computed_on(settings_from(chosen)):
        _, there = losses_and_vectors(PLAIN)
    assert there.items.tobytes() == fitted("plain", "cuda")[0].items.tobytes()
    chosen["model"] = {"name": "svd"}
    words = r'compute.device: expected "auto" or "cpu" for the model svd, which is not fitted on a'
    with pytest.raises(ConfigError, match=words), computed_on(settings_from(chosen)):
        pass
    with pytest.raises(ConfigError, match="compute.device: expected 'auto', 'cpu' or 'cuda', got"):
        settings_from({"compute": {"device": "gpu"}})
    described = Features(items=sp.csr_array(np.ones((WORLD.shape[1], 1), dtype=np.float32)))
    with pytest.raises(ConfigError, match="for a fit with attributes, which a card does not do"):
        PLAIN.fit(WORLD, features=described, device="cuda")


@pytest.mark.skipif(find_spec("cupy") is not None, reason="CuPy is here")
def test_without_cupy_there_is_one_clear_error_and_nothing_is_imported(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(device, "open_card", real_open_card)
    monkeypatch.setattr(on_card, "_WORTH", 1.0)
    of_cpu = PLAIN.fit(WORLD, device="cpu")
    assert PLAIN.fit(WORLD, device="auto").items.tobytes() == of_cpu.items.tobytes()
    with pytest.raises(ConfigError) as error:
        PLAIN.fit(WORLD, device="cuda")
    assert str(error.value) == (
        "device: expected CuPy for \"cuda\", got none; pip install 'recsys-engine[cuda]', or take "
        'device = "cpu" (--device cpu, [compute] device)'
    )
    assert "recsys.cuda.card" not in sys.modules


def test_a_card_that_does_not_answer_is_one_clear_error(monkeypatch: pytest.MonkeyPatch) -> None:
    class Broken:
        def __init__(self) -> None:
            raise RuntimeError("cudaErrorNoDevice: no CUDA-capable device is detected\nmore")

    module = SimpleNamespace(Card=Broken)
    monkeypatch.setitem(sys.modules, "recsys.cuda.card", module)
    monkeypatch.setattr(device, "find_spec", lambda name: object())
    with pytest.raises(ConfigError, match="got none: cudaErrorNoDevice: .* detected; look at nvid"):
        real_open_card()
