"""What each epoch of ALS does: the steps that rows take, and the basis in which they do."""

from recsys.models.als.basis import Basis
from recsys.vectors import Embeddings

_FIRST_STEPS = ((2, 1), (2, 2), (1, 2))  # of a user and an item, far from the solution
_TURNING_EPOCHS = 2  # in which Gram matrices change too much for one basis of both
_COMMON_EPOCHS = frozenset(3 * 2**n for n in range(32))  # that look for one where none is kept


def steps_of(number: int, start: Embeddings | None) -> tuple[int, int]:
    """Return the steps of conjugate gradients that a user and an item take in an epoch.

    It came as far in eight epochs as two steps of both in the first three, within 5e-4 of the loss
    on each log that was tried. With one step of the items in all three, which is less work, a card
    did not come as far as the CPU.
    """
    return _FIRST_STEPS[number - 1] if start is None and number <= len(_FIRST_STEPS) else (1, 1)


def bases_of(number: int, start: Embeddings | None) -> tuple[Basis, Basis]:
    """Return the basis in which users are solved in an epoch, and that in which items are.

    A start is near the end of a fit, but may be in any basis. A search for a common one costs a
    part of an epoch, and at many factors there may be none that lasts: later ones are rarer.
    """
    epoch = number if start is None else number + _TURNING_EPOCHS - 1
    if epoch <= _TURNING_EPOCHS:
        return "own", "own"
    return "common" if epoch in _COMMON_EPOCHS else "kept", "kept"
