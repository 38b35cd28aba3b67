"""The rows of a half-sweep in float64 NumPy, one after the other: what the kernels should give."""

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from recsys.cuda.backend import Backend
from recsys.cuda.csr import Rows
from recsys.cuda.rows import Number, Plan, Schedule, System, program_of, rounded, widened

_BEHIND = np.ones(4096)


class Case(NamedTuple):
    """Rows, and what they are solved for."""

    rows: Rows
    fixed: NDArray[np.float32]
    system: dict[str, Any]  # arrays of a System


def case_of(lengths: list[int], width: int, n_fixed: int = 50, seed: int = 0) -> Case:
    """Return random rows of some lengths, with weights of both signs."""
    rng, n = np.random.default_rng(seed), len(lengths)
    indptr = np.concatenate([[0], np.cumsum(lengths)]).astype(np.int32)
    weights = rng.uniform(0.5, 1.5, indptr[-1]) * rng.choice([1, 1, 1, -1], indptr[-1])
    columns = rng.integers(0, n_fixed, indptr[-1]).astype(np.int32)
    # Behind the pairs lies memory of the same array: a fault that reads there gets what it should
    # not, and no crash.
    columns, weights = np.append(columns, _BEHIND), np.append(weights, _BEHIND)
    nnz = indptr[-1]
    rows = Rows(0, indptr, columns.astype(np.int32)[:nnz], weights.astype(np.float32)[:nnz])
    vectors = (rng.standard_normal((n, width)) * 0.1).astype(np.float32)
    return Case(
        rows,
        (rng.standard_normal((n_fixed, width)) * 0.1).astype(np.float32),
        {
            "vectors": vectors,
            "pulls": (vectors * 0.3 + 0.01).astype(np.float32),
            "diagonal": rng.random(width).astype(np.float32),
            "scale": rng.uniform(0.5, 1.5, n).astype(np.float32),
            "regularization": rng.uniform(0.1, 1.1, n).astype(np.float32),
        },
    )


def by_kernels(
    backend: Backend, case: Case, number: Number, steps: int, tolerance: float, schedule: Schedule
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """Return rows and losses of the kernels, and the fixed vectors as these have read them."""
    xp, width = backend.xp, case.fixed.shape[1]
    fixed = read = xp.asarray(case.fixed)
    if number == "Bfloat16":
        fixed = rounded(backend, width, fixed)
        read = widened(fixed)
    arrays = {name: xp.asarray(one.copy()) for name, one in case.system.items()}
    losses = xp.full(len(case.rows), np.nan, dtype=np.float32)
    system = System(fixed=fixed, losses=losses, steps=steps, tolerance=tolerance, **arrays)
    held = Rows(
        0, *(xp.asarray(one) for one in (case.rows.indptr, case.rows.columns, case.rows.weights))
    )
    plan = Plan.of(backend, held, schedule)
    backend.run(program_of(width, number), plan.queues(backend, system, width))
    return backend.to_host(system.vectors), backend.to_host(losses), backend.to_host(read)


def by_numpy(
    case: Case, fixed: NDArray[np.float32], steps: int, tolerance: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Return the rows and their losses; NaN for the loss of a row without columns."""
    found, losses = case.system["vectors"].astype(np.float64), np.full(len(case.rows), np.nan)
    diagonal, indptr = case.system["diagonal"].astype(np.float64), case.rows.indptr
    for row in np.flatnonzero(np.diff(indptr)):
        own = slice(indptr[row], indptr[row + 1])
        Z = fixed[case.rows.columns[own]].astype(np.float64)  # (n, width)
        w, target = np.abs(case.rows.weights[own]).astype(np.float64), case.rows.weights[own] > 0
        scale, reg = case.system["scale"][row], case.system["regularization"][row]
        x, dense = found[row], scale * diagonal + reg
        pull = scale * case.system["pulls"][row] + reg * x
        r = Z.T @ (w * (target - Z @ x)) - pull
        losses[row] = (w * (target - Z @ x) ** 2).sum() + x @ pull
        p = r / dense
        rho = first = r @ p
        for _ in range(steps):
            image = Z.T @ (w * (Z @ p)) + dense * p
            alpha = rho / (p @ image)
            x += alpha * p  # in place: of `found`
            losses[row] -= alpha * rho
            r = r - alpha * image
            rho, before = r @ (r / dense), rho
            if rho <= tolerance**2 * first:
                break
            p = r / dense + rho / before * p
    return found, losses
