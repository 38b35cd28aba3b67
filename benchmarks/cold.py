"""Lists of new items, of which only attributes are known: ours, content alone, and irspack.

    RECSYS_DATA=folder python -m benchmarks.cold                 # all logs
    RECSYS_DATA=folder python -m benchmarks.cold --logs steam --models als svd --trials 4

A fifth of the items is held out whole (`recsys.split_items`), and of each user a fifth of the
others. The cold catalogue is the held-out items alone, ranked for the users who had some of them.
What has settings gets them on validation items, cut from train the same way, by cold recall@20:
ours those of the features alone, and only such with which warm lists lose no more than 2 % there,
irspack all of its own. Differences are paired by user.
"""

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from functools import partial
from typing import Any, NamedTuple

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

from benchmarks.cold_peers import category_popularity, irspack_trials, nearest
from benchmarks.machine import data_folder
from benchmarks.splits import EXAMPLES
from recsys.config import read_config
from recsys.evaluation import Catalogues, Evaluation, evaluate, evaluate_new_items
from recsys.evaluation.intervals import bootstrap_intervals
from recsys.evaluation.new_items import new_items_of
from recsys.features import FeatureEncoder, Features, vectors_of_features
from recsys.logs import Interactions, attributes_of, read_items, read_log
from recsys.models import ALS, SVD, Blend, Distilled, Item2Vec, Softmax
from recsys.settings import LogSettings
from recsys.splits import require_features_before, split_by_time, split_items
from recsys.vectors import Embeddings, Scorer

RECALL, K = "recall@20", 20
MODELS: dict[str, Any] = {
    "als": ALS(),
    "svd": SVD(),
    "blend": Blend(),
    "softmax": Softmax(),
    "item2vec": Item2Vec(),
    "distilled": Distilled(),
}
PULLS = ((0.3, 2.0), (0.3, 1.0), (0.1, 2.0), (0.6, 2.0), (0.3, 4.0), (1.0, 8.0))  # share, ridge
MOST_LOST = 0.02  # of warm accuracy on validation
VALIDATION_USERS = 2_000


class Log(NamedTuple):
    """A log with attributes of its items, and the kinds of those."""

    log: Interactions
    items: pa.Table
    columns: dict[str, str]


class Part(NamedTuple):
    """Train, test, and what is known of the items of train and of the new ones."""

    train: Interactions
    test: Interactions
    known: pa.Table
    new: pa.Table
    columns: dict[str, str]
    most_users: int | None

    @classmethod
    def of(cls, log: Log, seed: int, most_users: int | None = None) -> "Part":
        """Hold items out."""
        train, test = split_items(log.log, seed=seed)
        require_features_before(log.items, test, "benchmarks.cold", log.columns)
        known, new = (
            attributes_of(log.items, part.items) for part in (train, new_items_of(test, "cold"))
        )
        return cls(train, test, known, new, log.columns, most_users)

    def features(self) -> tuple[sp.csr_array, sp.csr_array]:
        """Return the features of the items of train, and of the new ones."""
        encoder = FeatureEncoder.learn(self.known, self.columns)
        return encoder.encode(self.known), encoder.encode(self.new)

    def evaluated(self, scorer: Scorer) -> Catalogues:
        """Measure what scores the items of train and the new ones."""
        return evaluate_new_items(scorer, self.train, self.test, K, most_users=self.most_users)

    def fitted(self, model: Any, features: tuple[sp.csr_array, sp.csr_array]) -> Embeddings:
        """Fit with features; return vectors of all items."""
        found = model.fit(self.train, features=Features(items=features[0]))
        of_new = vectors_of_features(features[1], found.item_map)
        return Embeddings(found.users, np.vstack([found.items, of_new]))


def movielens() -> Log:
    """Return ratings of 4 and more, with genres and titles, which have the year."""
    folder = data_folder() / "ml-1m"
    settings = LogSettings(
        columns={"item_id": "movie_id", "value": "rating"}, min_value=4.0, value_scale="none"
    )
    items = pq.read_table(folder / "movies.parquet").rename_columns(["item_id", "title", "genres"])
    log = read_log(folder / "interactions.parquet", settings)
    return Log(log, items, {"genres": "list", "title": "text"})


def online_retail() -> Log:
    """Return purchases with descriptions."""
    settings = read_config(EXAMPLES / "online_retail.toml")
    items = read_items(str(settings.data.items), settings.data.item_settings)
    return Log(read_log(settings.data.log, settings.log), items, {"title": "text"})


def steam() -> Log:
    """Return purchases with the titles of games."""
    folder = data_folder() / "steam-200k"
    events = pq.read_table(folder / "events.parquet")
    bought = events.filter(pc.equal(events["event_type"], "purchase"))
    items = pq.read_table(folder / "items.parquet").select(["item_id", "title"])
    return Log(read_log(bought.select(["user_id", "item_id"])), items, {"title": "text"})


LOGS: dict[str, Callable[[], Log]] = {
    "ml-1m": movielens,
    "online-retail": online_retail,
    "steam": steam,
}


def best_of(
    name: str, trials: Iterator[tuple[Any, Callable[[Part], Scorer]]], part: Part, least: float = 0
) -> tuple[Any, Callable[[Part], Scorer]]:
    """Return the trial with the best cold recall of those with warm accuracy enough."""
    tried = [(part.evaluated(make(part)), settings, make) for settings, make in trials]
    enough = [one for one in tried if one[0].warm.metrics[RECALL] >= least]
    by_warm = max(tried, key=lambda one: one[0].warm.metrics[RECALL])
    best = max(enough or [by_warm], key=lambda one: one[0].cold.metrics[RECALL])
    reached = f"cold {best[0].cold.metrics[RECALL]:.4f}, warm {best[0].warm.metrics[RECALL]:.4f}"
    print(f"  {name}: {best[1]}, on validation {reached}; {len(tried)} tried", flush=True)
    return best[1], best[2]


def feature_trials(n: int) -> Iterator[tuple[Any, Callable[[Part], Scorer]]]:
    """Yield ALS with settings of its features."""
    for share, ridge in PULLS[:n]:
        tried = replace(ALS(), feature_share=share, feature_ridge=ridge)
        yield (share, ridge), partial(_ours, model=tried)


def _ours(part: Part, model: Any) -> Scorer:
    return part.fitted(model, part.features())


def measure(name: str, log: Log, models: list[str], n_trials: int) -> None:
    """Print what each reaches on a log."""
    whole = Part.of(log, seed=0)
    validation = Part.of(log._replace(log=whole.train), seed=1, most_users=VALIDATION_USERS)
    n_new, n_features = len(whole.new), whole.features()[0].shape[1]
    print(
        f"\n{name}: {len(whole.train.items):,} items known, {n_new:,} new, {n_features:,} features"
    )
    found: dict[str, Catalogues] = {}
    found["popularity within the category"] = whole.evaluated(category_popularity(whole))
    _, make = best_of("content", ((n, partial(nearest, n=n)) for n in (1, 5, 20, None)), validation)
    found["content alone, nearest neighbours"] = whole.evaluated(make(whole))
    try:
        _, make = best_of("irspack", irspack_trials(n_trials), validation)
        found["irspack, feature-aware iALS"] = whole.evaluated(make(whole))
    except ImportError:
        print("  irspack is not installed (pip install '.[bench]')")
    warm: dict[str, tuple[Evaluation, Evaluation]] = {}
    for of in models:
        model = MODELS[of]
        if isinstance(model, ALS):
            without = model.fit(validation.train)
            train, test = validation.train, validation.test
            plain = evaluate(without, train, test, K, most_users=VALIDATION_USERS)
            least = (1 - MOST_LOST) * plain.metrics[RECALL]
            (share, ridge), _ = best_of("als", feature_trials(n_trials), validation, least)
            model = replace(model, feature_share=share, feature_ridge=ridge)
        found[of] = whole.evaluated(_ours(whole, model))
        warm[of] = warm_of(name, log, whole, model)
    report(found, warm, models)


def warm_of(name: str, log: Log, whole: Part, model: Any) -> tuple[Evaluation, Evaluation]:
    """Evaluate a model on known items, with features and without: online retail by time."""
    train, test = split_by_time(log.log) if name == "online-retail" else (whole.train, whole.test)
    known = attributes_of(log.items, train.items)
    features = FeatureEncoder.learn(known, log.columns).encode(known)
    fits = model.fit(train, features=Features(items=features)), model.fit(train)
    with_features, without = (evaluate(one, train, test, K) for one in fits)
    return with_features, without


def report(
    found: dict[str, Catalogues],
    warm: dict[str, tuple[Evaluation, Evaluation]],
    models: list[str],
) -> None:
    """Print the table, and the differences that are asked for."""
    print("| | cold recall@20 | cold ndcg@20 | mixed recall@20 |\n|---|---|---|---|")
    for name, one in found.items():
        cells = [
            f"{part.metrics[metric]:.4f} ({low:.4f} - {high:.4f})"
            for part, metric in ((one.cold, RECALL), (one.cold, "ndcg@20"), (one.mixed, RECALL))
            for low, high in [part.intervals[metric]]
        ]
        print(f"| {name} | {' | '.join(cells)} |")
    content = [name for name in found if name.startswith(("popularity", "content"))]
    base = max(content, key=lambda name: found[name].cold.metrics[RECALL])
    peer = next((name for name in found if name.startswith("irspack")), None)
    print("\n| cold recall@20 | times the better of content | less irspack | warm, less without |")
    print("|---|---|---|---|")
    for name in models:
        own = found[name].cold
        times = own.metrics[RECALL] / found[base].cold.metrics[RECALL]
        of_peer = "" if peer is None else difference(own, found[peer].cold)
        print(f"| {name} | {times:.2f} | {of_peer} | {difference(*warm[name])} |", flush=True)


def difference(ours: Evaluation, theirs: Evaluation) -> str:
    """Write the mean difference of recall over users, with its interval."""
    ours.require_same_users(theirs, "benchmarks.cold")
    more = ours.of_users(RECALL) - theirs.of_users(RECALL)
    low, high = bootstrap_intervals(more[:, None])[0].tolist()
    return f"{more.mean():+.4f} ({low:+.4f} to {high:+.4f})"


def main() -> None:
    """Read the arguments and measure."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--logs", nargs="+", choices=LOGS, default=list(LOGS))
    parser.add_argument("--models", nargs="+", choices=MODELS, default=list(MODELS))
    parser.add_argument("--trials", type=int, default=12, help="Of irspack, and of ALS.")
    given = parser.parse_args()
    for name in given.logs:
        measure(name, LOGS[name](), given.models, given.trials)


if __name__ == "__main__":
    main()
