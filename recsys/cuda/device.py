"""Whether work goes to a card: CuPy is imported here, where one is asked for, or not at all."""

from functools import cache
from importlib.util import find_spec

from recsys.base.devices import Device
from recsys.base.environment import extra
from recsys.base.errors import ConfigError
from recsys.cuda.backend import Backend

_INSTEAD = 'or take device = "cpu" (--device cpu, [compute] device)'


def card_for(device: Device, work: float, worth: float) -> Backend | None:
    """Return the card for some work; None where the CPU does it.

    Parameters
    ----------
    device : {"auto", "cpu", "cuda"}
    work, worth : float
        "auto" asks for a card from this much work on. It is counted, and in the same unit.

    Raises
    ------
    ConfigError
        If a card is asked for by name, and there is none, or nothing to drive it.
    """
    if device == "cpu" or (device == "auto" and (work < worth or find_spec("cupy") is None)):
        return None
    try:
        return open_card()
    except ConfigError:
        if device == "cuda":
            raise
        return None


@cache
def open_card() -> Backend:
    """Return the card of this machine; the first call takes a second."""
    if find_spec("cupy") is None:
        raise ConfigError(
            f'device: expected CuPy for "cuda", got none; pip install {extra("cuda")}, {_INSTEAD}'
        )
    try:
        from recsys.cuda.card import Card

        return Card()
    except (ImportError, OSError, RuntimeError) as error:  # of CuPy, of its libraries, of CUDA
        said = str(error).strip().splitlines()[:1]
        raise ConfigError(
            f'device: expected a CUDA card for "cuda", got none: {"".join(said) or repr(error)}; '
            f"look at nvidia-smi, {_INSTEAD}"
        ) from error
