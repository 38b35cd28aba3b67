"""The hot loops of distillation: softmax weights of a user's own items, and Adam."""

import numpy as np
from numpy.typing import NDArray

from recsys.base.jit import compiled
from recsys.vectors import FloatMatrix, FloatVector

_compile = compiled(fastmath={"contract", "reassoc", "nsz", "arcp"})
_BETA_1, _BETA_2 = np.float32(0.9), np.float32(0.99)
_EPSILON = np.float32(1e-5)  # of gradients around 1: more than what rounding leaves of a zero
_SHORTEST = np.float32(1e-12)  # row that has a direction


@_compile
def weigh_own(
    indptr: NDArray[np.integer],  # of the rows first..last-1, (n_users + 1,)
    indices: NDArray[np.integer],  # own items: seen and listed
    is_seen: NDArray[np.bool_],
    target: FloatVector,  # of each own item
    users: FloatMatrix,  # (n_users, factors), unit rows
    items: FloatMatrix,  # (n_items, factors), unit rows
    per_temperature: np.float32,
    n_items: int,  # that have users
    place: NDArray[np.int32],  # of each item among the sampled ones, -1 of others
    sampled: FloatMatrix,  # (last - first, n_sampled): e^((s - 1) / T); own items become 0
    share: FloatVector,  # of each user, of the loss that the teacher's list is
    importance: FloatVector,  # of each user
    first: int,
    last: int,
    pull: FloatVector,  # out: the weight of each own item in the gradient of its user
    push: FloatVector,  # out: the weight of the sampled items in the gradient of each user
) -> float:
    """Weigh own and sampled items of some users in the gradient; return their loss."""
    n_sampled, loss = sampled.shape[1], 0.0
    for row in range(first, last):
        start, stop = indptr[row], indptr[row + 1]
        seen = listed = rest = expected = np.float32(0)
        n_struck = 0
        others = sampled[row - first]
        for j in range(start, stop):
            item = indices[j]
            score = np.float32(0)
            for f in range(users.shape[1]):
                score += users[row, f] * items[item, f]
            logit = (score - np.float32(1)) * per_temperature
            expected += target[j] * logit
            pull[j] = np.exp(logit)
            if is_seen[j]:
                seen += pull[j]
            else:
                listed += pull[j]
            if place[item] >= 0:
                others[place[item]] = np.float32(0)
                n_struck += 1
        for k in range(n_sampled):
            rest += others[k]
        n_others = n_items - (stop - start)  # of which so many are sampled:
        n_drawn = n_sampled - n_struck
        worth = np.float32(n_others / n_drawn) if n_drawn else np.float32(0)
        unseen = max(listed + worth * rest, np.float32(1e-30))
        everything = unseen + seen
        of_all = (np.float32(1) - share[row]) * importance[row] / everything
        of_unseen = share[row] * importance[row] / unseen
        for j in range(start, stop):
            weight = of_all if is_seen[j] else of_all + of_unseen
            pull[j] = pull[j] * weight - importance[row] * target[j]
        push[row] = worth * (of_all + of_unseen)
        log_sums = (1 - share[row]) * np.log(everything) + share[row] * np.log(unseen)
        loss += importance[row] * (log_sums - expected)
    return loss


@_compile
def take_step(
    table: FloatMatrix,  # (n, factors), and so are the next three; changed in place
    gradient: FloatMatrix,
    mean: FloatMatrix,
    square: FloatMatrix,
    rate: np.float32,
    number: int,  # of the step, from 1
    first: int,
    last: int,
) -> None:
    """Move rows ``first..last-1`` by a step of Adam (Kingma and Ba, ICLR 2015)."""
    of_mean = rate / (np.float32(1) - _BETA_1**number)
    of_square = np.float32(1) / (np.float32(1) - _BETA_2**number)
    for row in range(first, last):
        for f in range(table.shape[1]):
            g = gradient[row, f]
            mean[row, f] = _BETA_1 * mean[row, f] + (np.float32(1) - _BETA_1) * g
            square[row, f] = _BETA_2 * square[row, f] + (np.float32(1) - _BETA_2) * g * g
            length = np.sqrt(square[row, f] * of_square) + _EPSILON
            table[row, f] -= np.float32(of_mean) * mean[row, f] / length


@_compile
def at_length_1(
    table: FloatMatrix,  # (n, factors)
    first: int,
    last: int,
    units: FloatMatrix,  # out, (n, factors)
) -> None:
    """Set rows ``first..last-1`` of units to those of the table at length 1, or to zero."""
    for row in range(first, last):
        square = np.float32(0)
        for f in range(table.shape[1]):
            square += table[row, f] * table[row, f]
        per_length = np.float32(1) / np.sqrt(square) if square > 0 else np.float32(0)
        for f in range(table.shape[1]):
            units[row, f] = table[row, f] * per_length


@_compile
def project(
    gradient: FloatMatrix,  # (n, factors), with respect to the unit rows; changed in place
    units: FloatMatrix,
    table: FloatMatrix,  # whose rows at length 1 are the units
    first: int,
    last: int,
) -> None:
    """Turn the gradient of unit rows into that of the rows themselves."""
    for row in range(first, last):
        along = square = np.float32(0)
        for f in range(table.shape[1]):
            along += gradient[row, f] * units[row, f]
            square += table[row, f] * table[row, f]
        per_length = np.float32(1) / np.sqrt(max(square, _SHORTEST * _SHORTEST))
        for f in range(table.shape[1]):
            gradient[row, f] = (gradient[row, f] - along * units[row, f]) * per_length


@_compile
def score_candidates(
    users: FloatMatrix,  # (n_users, factors)
    rows: NDArray[np.integer],  # (n,), of users
    items: FloatMatrix,  # (n_items, factors)
    candidates: NDArray[np.int32],  # (n, n_candidates), -1 past the end of a short row
    scores: FloatMatrix,  # out, (n, n_candidates): those of -1 are left as they are
) -> None:
    """Score some items for each user."""
    for row in range(len(rows)):
        user = users[rows[row]]
        for place in range(candidates.shape[1]):
            item = candidates[row, place]
            if item >= 0:
                score = np.float32(0)
                for f in range(users.shape[1]):
                    score += user[f] * items[item, f]
                scores[row, place] = score
