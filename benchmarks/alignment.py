"""What alignment keeps between two trainings: same-item cosines, and lists across versions.

    python -m benchmarks.alignment             # two seeds, and two days, cold and warm
    python -m benchmarks.alignment --weights   # how items are weighted, with and without resistance
    python -m benchmarks.alignment --limits    # what is above and below the threshold

Yesterday is MovieLens (ml-latest-small) without its last 5 % of events, and Gowalla, which has no
time but keeps its order, without each user's last two items. A warm start goes on from yesterday's
vectors on today's rows. Lists are of ten items that a user had not seen yesterday. "Kept" is the
share of yesterday's lists that yesterday's users still get from today's items; "own" is the share
of yesterday's lists that is in today's where each version is used by itself. The settings of ALS
are those of pipelines/examples, with 64 factors.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from functools import cached_property
from typing import Any

import numpy as np
from numpy.typing import NDArray

from benchmarks.splits import EXAMPLES
from recsys.config import read_config
from recsys.logs import Interactions, read_log
from recsys.models import ALS, SVD, Model, model_from, parameters_of
from recsys.models.protocol import popularity_of
from recsys.splits import split_by_time, split_last, split_random
from recsys.vectors import Alignment, Embeddings, FloatMatrix, align, shared_rows, top_k

FACTORS, K = 64, 10
N_USERS = 1000  # whose lists are compared
ROUNDS = {"least squares": 0, "resistant": 10}
WEIGHTS: dict[str, Callable[[NDArray[Any], NDArray[Any]], NDArray[Any]]] = {
    "all alike": lambda n_users, length: np.ones(len(n_users)),
    "log of users": lambda n_users, length: np.log1p(n_users),
    "square root of users": lambda n_users, length: np.sqrt(n_users),
    "users": lambda n_users, length: n_users,
    "users, and lengths": lambda n_users, length: n_users * length,
}


@dataclass(frozen=True, eq=False)
class Release:
    """Embeddings, and the log that they were trained on."""

    embeddings: Embeddings
    log: Interactions

    @cached_property
    def popularity(self) -> NDArray[np.integer]:
        """Number of users of each item."""
        counts: NDArray[np.integer] = popularity_of(self.log.user_items())
        return counts


@dataclass(frozen=True, eq=False)
class Pair:
    """Two releases, and the rows of the items and users that are in both."""

    name: str
    before: Release
    after: Release

    @cached_property
    def items(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """The rows of the shared items, today's and yesterday's."""
        return shared_rows(self.after.log.items, self.before.log.items)

    @cached_property
    def vectors(self) -> tuple[FloatMatrix, FloatMatrix]:
        """The vectors of the shared items, today's and yesterday's."""
        today, yesterday = self.items
        return self.after.embeddings.items[today], self.before.embeddings.items[yesterday]

    @cached_property
    def n_users(self) -> NDArray[np.integer]:
        """The users of each shared item, on the day when it had fewer."""
        today, yesterday = self.items
        fewer: NDArray[np.integer] = np.minimum(
            self.after.popularity[today], self.before.popularity[yesterday]
        )
        return fewer

    def aligned(self, weight: NDArray[Any] | None = None, **others: Any) -> Alignment:
        """Align today's items with yesterday's."""
        return align(*self.vectors, self.n_users if weight is None else weight, **others)

    def cosines(self, rotation: NDArray[np.float64]) -> NDArray[np.float64]:
        """Return the cosine of each shared item with itself."""
        today, yesterday = self.vectors
        turned = today @ rotation
        lengths = np.linalg.norm(turned, axis=1) * np.linalg.norm(yesterday, axis=1)
        known = lengths > 0
        cosines: NDArray[np.float64] = np.einsum("ij,ij->i", turned, yesterday)[known]
        cosines /= lengths[known]
        return cosines

    @cached_property
    def asked(self) -> tuple[NDArray[np.integer], NDArray[np.integer]]:
        """Rows of some users who are in both, today's and yesterday's."""
        today, yesterday = shared_rows(self.after.log.users, self.before.log.users)
        n = min(N_USERS, len(today))
        some = np.random.default_rng(0).choice(len(today), n, replace=False)
        return today[some], yesterday[some]

    def lists(self, users: FloatMatrix, items: NDArray[np.floating]) -> NDArray[np.int32]:
        """Return the best shared items of each user who was asked, unseen yesterday."""
        seen = self.before.log.user_items()[self.asked[1]][:, self.items[1]].tocoo()
        scores = (users @ items.T).astype(np.float32)
        scores[seen.row, seen.col] = -np.inf
        return top_k(scores, K)[0]

    @cached_property
    def yesterdays(self) -> NDArray[np.int32]:
        """Yesterday's lists."""
        return self.lists(self.before.embeddings.users[self.asked[1]], self.vectors[1])

    def kept(self, rotation: NDArray[np.float64]) -> float:
        """Return the share of yesterday's lists that today's items give yesterday's users."""
        users = self.before.embeddings.users[self.asked[1]]
        return overlap(self.yesterdays, self.lists(users, self.vectors[0] @ rotation))

    def own(self) -> float:
        """Return the share of yesterday's lists that is in today's."""
        users = self.after.embeddings.users[self.asked[0]]
        return overlap(self.yesterdays, self.lists(users, self.vectors[0]))


def overlap(a: NDArray[np.int32], b: NDArray[np.int32]) -> float:
    """Return the mean share of the lists in a that is in those of b."""
    return float((a[:, :, None] == b[:, None, :]).any(axis=2).mean())


def fitted(model: Model, log: Interactions) -> Release:
    """Fit a model to a log."""
    return Release(model.fit(log.user_items()), log)


def warm(model: Model, log: Interactions, before: Release) -> Release:
    """Fit ALS to a log, from where the embeddings of another were."""
    start = before.embeddings.reindexed(
        before.log.users,
        before.log.items,
        to_users=log.users,
        to_items=log.items,
    )
    return Release(model.fit(log.user_items(), start=start), log)


def relabelled(release: Release, share: float) -> Release:
    """Return a release in which some items have each other's vectors."""
    rng = np.random.default_rng(0)
    n = len(release.embeddings.items)
    moved = rng.choice(n, int(share * n), replace=False)
    items = release.embeddings.items.copy()
    items[moved] = items[rng.permutation(moved)]
    return Release(Embeddings(release.embeddings.users, items), release.log)


def two_days(name: str) -> tuple[Interactions, Interactions]:
    """Return a log without what came last, and the whole log."""
    settings = read_config(EXAMPLES / f"{name}.toml")
    log = read_log(settings.data.log, settings.log)
    if log.timestamp is None:
        return split_last(log, n=2)[0], log
    return split_by_time(log, test_fraction=0.05)[0], log


def als(name: str, seed: int = 0) -> Model:
    """Return ALS as the example of a log has it."""
    model = read_config(EXAMPLES / f"{name}.toml").model or ALS()
    return model.with_factors(FACTORS).with_seed(seed)


def pairs(name: str) -> Iterator[Pair]:
    """Yield the trainings of a log that are compared."""
    yesterday, today = two_days(name)
    before = fitted(als(name), yesterday)
    yield Pair(f"{name}, ALS, two seeds", before, fitted(als(name, 1), yesterday))
    yield Pair(f"{name}, ALS, two days, cold", before, fitted(als(name), today))
    yield Pair(f"{name}, ALS, two days, warm", before, warm(als(name), today, before))
    before = fitted(SVD(factors=FACTORS), yesterday)
    yield Pair(f"{name}, SVD, two seeds", before, fitted(SVD(factors=FACTORS, seed=1), yesterday))
    yield Pair(f"{name}, SVD, two days", before, fitted(SVD(factors=FACTORS), today))


def compare(names: list[str]) -> None:
    """Print what two trainings share, raw and aligned."""
    print("| | cosine, raw | aligned | median | agreement | residual | kept, raw | aligned | own |")
    print("|---|---:|---:|---:|---:|---:|---:|---:|---:|")
    for name in names:
        for pair in pairs(name):
            found, no_turn = pair.aligned(), np.eye(FACTORS)
            cosines = pair.cosines(found.rotation)
            print(
                f"| {pair.name} | {found.cosine_raw:.3f} | {cosines.mean():.3f} | "
                f"{np.median(cosines):.3f} | {found.agreement:.3f} | "
                f"{found.residual:.3f} | {pair.kept(no_turn):.1%} | "
                f"{pair.kept(found.rotation):.1%} | {pair.own():.1%} |",
                flush=True,
            )


def compare_weights(names: list[str]) -> None:
    """Print the mean cosine and what is kept, for each way to weigh items."""
    print("| | weights | least squares: cosine | kept | resistant: cosine | kept |")
    print("|---|---|---:|---:|---:|---:|")
    for name in names:
        for pair in pairs(name):
            today, yesterday = (np.linalg.norm(matrix, axis=1) for matrix in pair.vectors)
            for weights, weigh in WEIGHTS.items():
                weight = weigh(pair.n_users, today * yesterday)
                found = [pair.aligned(weight, rounds=rounds) for rounds in ROUNDS.values()]
                cells = [
                    f"{one.cosine_aligned:.3f} | {pair.kept(one.rotation):.1%}" for one in found
                ]
                print(f"| {pair.name} | {weights} | {' | '.join(cells)} |", flush=True)


def unlike(name: str) -> Iterator[Pair]:
    """Yield trainings that have little, or nothing, in common."""
    _, log = two_days(name)
    before, other_seed = fitted(als(name), log), fitted(als(name, 1), log)
    of_svd = fitted(SVD(factors=FACTORS), log)
    half, _ = split_random(log, test_fraction=0.5)
    parameters = parameters_of(als(name))
    freer = model_from("als", {**parameters, "regularization": parameters["regularization"] / 10})
    flat = SVD(factors=FACTORS, user_exponent=0.5, item_exponent=0.5, spectral_power=0.5)
    yield Pair("ALS, half of each history, and all", fitted(als(name), half), other_seed)
    yield Pair("ALS, a tenth of the regularization", before, fitted(freer, log))
    yield Pair("SVD, other exponents", of_svd, fitted(flat, log))
    yield Pair("ALS and SVD", before, of_svd)
    for share in (0.2, 0.5, 1.0):
        yield Pair(
            f"ALS, {share:.0%} of the items relabelled", before, relabelled(other_seed, share)
        )
    yield Pair("SVD, 100% of the items relabelled", of_svd, relabelled(of_svd, 1.0))


def limits(names: list[str]) -> None:
    """Print the cosines of trainings that differ more and more, and of few shared items."""
    print("| log | before and after | items shared | cosine | agreement | kept | own |")
    print("|---|---|---:|---:|---:|---:|---:|")
    for name in names:
        for pair in unlike(name):
            found = pair.aligned()
            print(
                f"| {name} | {pair.name} | {found.n_shared:,} | {found.cosine_aligned:.3f} | "
                f"{found.agreement:.3f} | {pair.kept(found.rotation):.1%} | "
                f"{pair.own():.1%} |",
                flush=True,
            )


def few(names: list[str]) -> None:
    """Print the cosines where only few items, of the most popular, are shared."""
    print("\n| log | items shared | related: cosine | agreement | unrelated: cosine | agreement |")
    print("|---|---:|---:|---:|---:|---:|")
    for name in names:
        _, log = two_days(name)
        before, after = fitted(als(name), log), fitted(als(name, 1), log)
        order = np.argsort(-before.popularity, kind="stable")
        rng = np.random.default_rng(0)
        for n in (FACTORS, 2 * FACTORS, 4 * FACTORS, 16 * FACTORS):
            rows = order[:n]
            weight, onto = before.popularity[rows], before.embeddings.items[rows]
            cells = []
            for ours in (rows, rng.permutation(rows)):
                found = align(after.embeddings.items[ours], onto, weight)
                cells += [f"{found.cosine_aligned:.3f}", f"{found.agreement:.3f}"]
            print(f"| {name} | {n} | {' | '.join(cells)} |", flush=True)


def main() -> None:
    """Compare what the command line asks for."""
    parser = argparse.ArgumentParser(description="What alignment keeps between two trainings.")
    parser.add_argument("--only", choices=("movielens", "gowalla"))
    parser.add_argument("--weights", action="store_true")
    parser.add_argument("--limits", action="store_true")
    arguments = parser.parse_args()
    names = [arguments.only] if arguments.only else ["movielens", "gowalla"]
    if arguments.weights:
        compare_weights(names)
    elif arguments.limits:
        limits(names)
        few(names)
    else:
        compare(names)


if __name__ == "__main__":
    main()
