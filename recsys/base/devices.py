"""Where heavy work is done, on the CPU or on a CUDA card: the [compute] table, and blocks of it.

It is no hyperparameter: a version does not depend on it, up to the rounding of float32.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Literal, get_args

from recsys.base.checks import ShowsChanges, require

Device = Literal["auto", "cpu", "cuda"]
"""On the CPU, on a CUDA card, or on the card where one is and the work is large enough to pay."""

DEVICES: tuple[Device, ...] = get_args(Device)

_of_block: ContextVar[Device] = ContextVar("device", default="cpu")


@dataclass(frozen=True, repr=False)
class ComputeSettings(ShowsChanges):
    """Where heavy work is done; the ``[compute]`` table."""

    device: Device = "auto"
    """"cpu"; "cuda": fits of ALS and lists of many users on a CUDA card, by the extra ``[cuda]``;
    "auto": on the card, where one is and the work is large enough to pay. A version does not
    depend on it."""

    def __post_init__(self) -> None:
        require("compute.device", self.device, one_of=DEVICES)


@contextmanager
def on_device(device: Device | None) -> Iterator[None]:
    """Let the fits and lists of the block, however deep, take a device; None leaves what is."""
    token = _of_block.set(device_of(device))
    try:
        yield
    finally:
        _of_block.reset(token)


def device_of(device: Device | None) -> Device:
    """Return a device that is given, else that of the block around: "cpu" outside of any.

    Raises
    ------
    ConfigError
        If it is none.

    Examples
    --------
    >>> with on_device("auto"):
    ...     print(device_of(None), device_of("cuda"))
    auto cuda
    """
    if device is None:
        return _of_block.get()
    require("device", device, one_of=DEVICES)
    return device
