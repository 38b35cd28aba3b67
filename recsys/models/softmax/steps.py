"""Steps of the softmax loss: users and items go part of the way to where they would rest."""

from typing import NamedTuple

import numpy as np

from recsys.base.threads import Threads
from recsys.vectors import FloatMatrix, FloatVector
from recsys.vectors.vector import unit_rows

# Found on Gowalla: larger steps turn back and forth, smaller ones take more epochs.
USER_STEP, ITEM_STEP, MOMENTUM = 0.3, 0.1, 0.6
_BLOCK = 128  # users whose scores a thread holds at a time
_N_PARTS = 8  # of the users; each has its own sum over items, so that threads change no result
_TINY = 1e-6  # a difference that is this small a part of its terms has no direction


class UserStep(NamedTuple):
    """What a step of users brings."""

    users: FloatMatrix  # (n_users, factors): where they are now
    pushed: FloatMatrix  # (n_items, factors): sum_u c_u n_u p_uj x_u, of users where they were
    loss: float  # of the users where they were, weighted by c


def step_users(
    users: FloatMatrix,  # (n_users, factors), unit rows
    items: FloatMatrix,  # (n_items, factors), unit rows
    attracted: FloatMatrix,  # (n_users, factors): sum_i w_ui y_i
    weight: FloatVector,  # (n_users,): n_u = sum_i w_ui
    importance: FloatVector | None,  # (n_users,): c
    temperature: float,
    pool: Threads,
) -> UserStep:
    """Move all users once, part of the way to where they would rest; see `Softmax` for the formula.

    Without `importance` items are not pushed, which is a third of the work.
    """

    def work(rows: slice) -> UserStep:
        pushed = np.zeros(items.shape if importance is not None else (0, 0), dtype=np.float32)
        moved = np.empty_like(users[rows])
        loss = 0.0
        room = np.empty((min(_BLOCK, len(moved)), len(items)), dtype=np.float32)
        for start in range(rows.start, rows.stop, _BLOCK):
            block = slice(start, min(start + _BLOCK, rows.stop))
            x, n = users[block], weight[block, None]
            p = np.matmul(x / np.float32(temperature), items.T, out=room[: len(x)])  # (n, n_items)
            np.exp(p, out=p)
            total = p.sum(axis=1, keepdims=True)  # (n, 1)
            direction = attracted[block] - n * ((p @ items) / total)
            length = np.linalg.norm(direction, axis=1, keepdims=True)
            target = direction / np.maximum(length, _TINY * n + np.finfo(np.float32).tiny)
            here = slice(block.start - rows.start, block.stop - rows.start)
            moved[here] = unit_rows(x + np.float32(USER_STEP) * (target - x))
            if importance is None:
                continue
            c = importance[block, None]
            p *= c * n / total
            pushed += p.T @ x
            scores = np.einsum("ij,ij->i", attracted[block], x)[:, None] / temperature
            loss += float((c * (n * np.log(total) - scores)).sum())
        return UserStep(moved, pushed, loss)

    size = -(-len(users) // _N_PARTS)
    parts = [slice(s, min(s + size, len(users))) for s in range(0, len(users), size)]
    steps = pool.map(work, parts)
    pushed = steps[0].pushed
    for step in steps[1:]:
        pushed += step.pushed
    return UserStep(
        np.concatenate([step.users for step in steps]), pushed, sum(step.loss for step in steps)
    )


def step_items(
    items: FloatMatrix,  # (n_items, factors), and so are the next three
    pull: FloatMatrix,  # sum_u c_u w_ui x_u
    pushed: FloatMatrix,
    velocity: FloatMatrix,
) -> FloatMatrix:
    """Move all items once, with momentum; `velocity` changes in place."""
    direction = pull - pushed
    least = _TINY * np.linalg.norm(pull, axis=1, keepdims=True) + np.finfo(np.float32).tiny
    length = np.linalg.norm(direction, axis=1, keepdims=True)
    velocity *= np.float32(MOMENTUM)
    velocity += np.float32(ITEM_STEP) * (direction / np.maximum(length, least) - items)
    return unit_rows(items + velocity)
