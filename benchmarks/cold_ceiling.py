"""How far lists of new items could go: vectors from their events, in place of attributes.

    RECSYS_DATA=folder python -m benchmarks.cold_ceiling

The held-out items of cold.py are ranked for a random half of the users who had some of them. ALS is
fitted to the events of train, without attributes; then the new items get the vectors that its row
solve makes of their own events: those of the other half of the users, or all, among them the very
pairs that are asked for. What attributes can say is less than either. Beside them: content alone,
whichever is the best on these users, twice that, and popularity among the other half.
"""

import argparse

import numpy as np
import scipy.sparse as sp

from benchmarks.cold import LOGS, RECALL, K, Part
from benchmarks.cold_peers import category_popularity, nearest
from recsys.evaluation.held_out import HeldOut, evaluate_pairs
from recsys.models import ALS, popularity_of
from recsys.models.new_items import fold_in_items
from recsys.models.protocol import mean_weight_of
from recsys.vectors import Embeddings, FloatMatrix, Scorer

FACTORS = (64, 256)


def recall(scorer: Scorer, wanted: sp.csr_array) -> float:
    """Return the recall of lists of new items."""
    nothing = sp.csr_array(wanted.shape, dtype=np.int8)
    pairs = HeldOut(nothing, wanted, train=nothing, left_out={})
    return evaluate_pairs(scorer, pairs, [K]).metrics[RECALL]


def rows_of(matrix: sp.csr_array, users: np.ndarray) -> sp.csr_array:
    """Return the rows of some users, and empty ones for the others."""
    kept = sp.csr_array(sp.diags_array(users.astype(matrix.dtype)) @ matrix)
    kept.eliminate_zeros()
    return kept


def from_events(part: Part, model: ALS, found: Embeddings, of_new: sp.csr_array) -> FloatMatrix:
    """Return vectors of the new items, solved from events with them."""
    train = part.train.user_items()
    unit = mean_weight_of(train)
    both = sp.csr_array(sp.hstack([train, of_new * np.float32(unit)], format="csr"))
    return fold_in_items(model, found, popularity_of(train), both, unit).items


def measure(name: str) -> None:
    """Print the row of a log."""
    part = Part.of(LOGS[name](), seed=0)
    everything = part.of_new_items
    is_tested = np.random.default_rng(0).random(everything.shape[0]) < 0.5
    tested, others = rows_of(everything, is_tested), rows_of(everything, ~is_tested)
    content = (category_popularity(part), *(nearest(part, n) for n in (1, 5, 20, None)))
    best = max(recall(one, tested) for one in content)
    popular = others.sum(axis=0).astype(np.float32)[:, None]
    ones = np.ones((len(is_tested), 1), dtype=np.float32)
    row = [best, 2 * best, recall(Embeddings(ones, popular), tested)]
    for factors in FACTORS:
        model = ALS(factors=factors)
        found = model.fit(part.train)
        for known in (others, everything):
            items = from_events(part, model, found, known)
            row.append(recall(Embeddings(found.users, items), tested))
    print(f"| {name} | {' | '.join(f'{one:.3f}' for one in row)} |", flush=True)


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    of = " | ".join(f"{n}: others' events | {n}: all events" for n in FACTORS)
    print(f"| log | content | twice | popularity | {of} |\n|---|---|---|---|---|---|---|---|")
    for name in parser.parse_args().logs:
        measure(name)


if __name__ == "__main__":
    main()
