"""Lists of new items, of which only attributes are known: ours, content alone, and irspack.

    RECSYS_DATA=folder python -m benchmarks.cold                 # all logs, ALS and SVD
    RECSYS_DATA=folder python -m benchmarks.cold --logs steam --models als softmax --trials 12

A fifth of the items is held out whole (`recsys.split_items`), and of each user a fifth of the
others. The cold catalogue is the held-out items alone, ranked for the users who had some of them.
What has settings gets them on validation items, cut from train the same way, by cold recall@20:
ours those of the features alone, and only such with which warm lists do not lose more than .5 %
there, irspack all of its own, each with our features and with the plain words of scikit-learn.
Differences are paired by user. The seconds of each part are printed, of the clock and of the
processor.
"""

import argparse
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import cached_property, partial
from time import perf_counter, process_time
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq
import scipy.sparse as sp

from benchmarks.cold_peers import category_popularity, irspack_trials, nearest
from benchmarks.machine import data_folder
from benchmarks.splits import EXAMPLES
from recsys.config import read_config
from recsys.evaluation import Evaluation, evaluate, evaluate_new_items
from recsys.evaluation.held_out import HeldOut, evaluate_pairs, pattern
from recsys.evaluation.intervals import bootstrap_intervals
from recsys.evaluation.new_items import new_items_of
from recsys.features import FeatureEncoder, Features, KnownItems
from recsys.features.ridge_choice import RidgeSetting
from recsys.logs import Interactions, attributes_of, read_items, read_log
from recsys.models import ALS, SVD, Blend, Distilled, Item2Vec, Softmax, popularity_of
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
PULLS: tuple[tuple[float, RidgeSetting], ...] = (  # share, ridge
    (0.1, "auto"),
    (0.1, 1.0),
    (0.3, "auto"),
    (0.6, "auto"),
    (0.3, 1.0),
    (0.6, 1.0),
)
MOST_LOST = 0.005  # of warm accuracy on validation


@dataclass(frozen=True)
class Log:
    """A log with attributes of its items, and the kinds of those."""

    log: Interactions
    items: pa.Table
    columns: dict[str, str]


@dataclass(frozen=True)
class Part:
    """Train, test, and what is known of the items of train and of the new ones."""

    train: Interactions
    test: Interactions
    known: pa.Table
    new: pa.Table
    columns: dict[str, str]

    @classmethod
    def of(cls, log: Log, seed: int) -> "Part":
        """Hold items out."""
        train, test = split_items(log.log, seed=seed)
        require_features_before(log.items, test, "benchmarks.cold", log.columns)
        known, new = (
            attributes_of(log.items, part.items) for part in (train, new_items_of(test, "cold"))
        )
        return cls(train, test, known, new, log.columns)

    @cached_property
    def features(self) -> tuple[sp.csr_array, sp.csr_array]:
        """The features of the items of train, and of the new ones."""
        encoder = FeatureEncoder.learn(self.known, self.columns)
        return encoder.encode(self.known), encoder.encode(self.new)

    @cached_property
    def of_new_items(self) -> sp.csr_array:
        """The held-out events with new items."""
        return pattern(new_items_of(self.test, "cold").user_items())

    def cold(self, scorer: Scorer) -> Evaluation:
        """Measure what scores the new items alone."""
        nothing = sp.csr_array(self.of_new_items.shape, dtype=np.int8)
        return evaluate_pairs(
            scorer, HeldOut(nothing, self.of_new_items, train=nothing, left_out={}), [K]
        )

    def warm(self, found: Embeddings) -> Evaluation:
        """Measure lists of the items of train."""
        return evaluate(found, self.train, self.test, K)

    def fitted(self, model: Any) -> Embeddings:
        """Fit with features."""
        found: Embeddings = model.fit(self.train, features=Features(items=self.features[0]))
        return found

    def of_new(self, found: Embeddings) -> Embeddings:
        """Return users, and new items by their features."""
        assert found.item_map is not None
        n_users = popularity_of(self.train.user_items())
        known = KnownItems.of(self.features[0], found.items, n_users, found.item_map)
        return Embeddings(found.users, known.vectors(self.features[1]))

    def mixed(self, found: Embeddings) -> Evaluation:
        """Measure lists of all items."""
        items = np.vstack([found.items, self.of_new(found).items])
        whole = Embeddings(found.users, items)
        return evaluate_new_items(whole, self.train, self.test, K).mixed


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


@contextmanager
def timed(what: str) -> Iterator[None]:
    """Print how long a part took."""
    began, used = perf_counter(), process_time()
    yield
    seconds = perf_counter() - began, process_time() - used
    print(f"  {what}: {seconds[0]:.0f} s, {seconds[1]:.0f} of the processor", flush=True)


def best_of(
    name: str, trials: Iterator[tuple[Any, Callable[[Part], Scorer]]], part: Part
) -> Callable[[Part], Scorer]:
    """Return the trial with the best cold recall."""
    with timed(f"trials of {name}"):
        tried = [(part.cold(make(part)).metrics[RECALL], str(at), make) for at, make in trials]
    reached, settings, make = max(tried, key=lambda one: one[0])
    print(f"  {name}: {settings}, on validation cold {reached:.4f}; {len(tried)} tried", flush=True)
    return make


def tuned(model: ALS, n: int, part: Part) -> ALS:
    """Return ALS with the settings of its features that are best, of those that lose nothing."""
    with timed("trials of als"):
        least = part.warm(model.fit(part.train)).metrics[RECALL] * (1 - MOST_LOST)
        tried: list[tuple[float, float, ALS]] = []
        for share, ridge in PULLS[:n]:
            one = replace(model, feature_share=share, feature_ridge=ridge)
            found = part.fitted(one)
            cold, warm = part.cold(part.of_new(found)), part.warm(found)
            tried.append((cold.metrics[RECALL], warm.metrics[RECALL], one))
    enough = [one for one in tried if one[1] >= least] or [max(tried, key=lambda one: one[1])]
    of_cold, of_warm, best = max(enough, key=lambda one: one[0])
    print(
        f"  als: share {best.feature_share:g}, ridge {best.feature_ridge}, on validation cold "
        f"{of_cold:.4f}, warm {of_warm:.4f} (at least {least:.4f}); {len(tried)} tried",
        flush=True,
    )
    return best


def measure(name: str, log: Log, models: list[str], n_trials: int) -> None:
    """Print what each reaches on a log."""
    whole = Part.of(log, seed=0)
    validation = Part.of(replace(log, log=whole.train), seed=1)
    n_new, n_features = len(whole.new), whole.features[0].shape[1]
    print(
        f"\n{name}: {len(whole.train.items):,} items known, {n_new:,} new, {n_features:,} features"
    )
    found: dict[str, Evaluation] = {}
    mixed: dict[str, Evaluation] = {}
    warm: dict[str, tuple[Evaluation, Evaluation]] = {}
    found["popularity within the category"] = whole.cold(category_popularity(whole))
    of_content = ((n, partial(nearest, n=n)) for n in (1, 5, 20, None))
    make = best_of("content", of_content, validation)
    with timed("content"):
        found["content alone, nearest neighbours"] = whole.cold(make(whole))
    try:
        make = best_of("irspack", irspack_trials(n_trials), validation)
        with timed("irspack"):
            found["irspack, feature-aware iALS"] = whole.cold(make(whole))
    except ImportError:
        print("  irspack is not installed (pip install '.[bench]')")
    for of in models:
        model = MODELS[of]
        if isinstance(model, ALS):
            model = tuned(model, n_trials, validation)
        with timed(of):
            fitted = whole.fitted(model)
            found[of], mixed[of] = whole.cold(whole.of_new(fitted)), whole.mixed(fitted)
            warm[of] = warm_of(name, log, whole, model, fitted)
    report(found, mixed, warm)


def warm_of(
    name: str, log: Log, whole: Part, model: Any, fitted: Embeddings
) -> tuple[Evaluation, Evaluation]:
    """Evaluate a model on known items, with features and without: online retail by time."""
    if name != "online-retail":
        return whole.warm(fitted), whole.warm(model.fit(whole.train))
    train, test = split_by_time(log.log)
    known = attributes_of(log.items, train.items)
    features = FeatureEncoder.learn(known, log.columns).encode(known)
    fits = model.fit(train, features=Features(items=features)), model.fit(train)
    with_features, without = (evaluate(one, train, test, K) for one in fits)
    return with_features, without


def report(
    found: dict[str, Evaluation],
    mixed: dict[str, Evaluation],
    warm: dict[str, tuple[Evaluation, Evaluation]],
) -> None:
    """Print the table, and the differences that are asked for."""
    print("| | cold recall@20 | cold ndcg@20 | mixed recall@20 |\n|---|---|---|---|")
    for name, one in found.items():
        parts = [(one, RECALL), (one, "ndcg@20"), (mixed.get(name), RECALL)]
        print(f"| {name} | {' | '.join(_cell(*part) for part in parts)} |")
    content = [name for name in found if name.startswith(("popularity", "content"))]
    base = max(content, key=lambda name: found[name].metrics[RECALL])
    peer = next((name for name in found if name.startswith("irspack")), None)
    print("\n| cold recall@20 | times the better of content | less that | less irspack | warm |")
    print("|---|---|---|---|---|")
    for name in warm:
        times = found[name].metrics[RECALL] / found[base].metrics[RECALL]
        less = [difference(found[name], found[other]) for other in (base, peer) if other]
        with_features, without = warm[name]
        of_warm = f"{without.metrics[RECALL]:.4f}, {difference(with_features, without)}"
        print(f"| {name} | {times:.2f} | {' | '.join(less)} | {of_warm} |", flush=True)


def _cell(found: Evaluation | None, metric: str) -> str:
    if found is None:
        return ""
    low, high = found.intervals[metric]
    return f"{found.metrics[metric]:.4f} ({low:.4f} - {high:.4f})"


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
    parser.add_argument("--models", nargs="+", choices=MODELS, default=["als", "svd"])
    parser.add_argument("--trials", type=int, default=4, help="Of irspack, and of ALS.")
    given = parser.parse_args()
    for name in given.logs:
        with timed(name):
            measure(name, LOGS[name](), given.models, given.trials)


if __name__ == "__main__":
    main()
