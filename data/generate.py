"""Generate the bundled sample log: a small shop of books, games and records, and its year 2025.

The story, one function per step. The shop has shelves, and every shelf speaks to a few **tastes**
(wonder, mystery, comfort, ...). Every item and every user is a mixture of tastes. A user comes
back for **sessions**, most of them in the evening; a session is about one of the user's tastes,
and the items looked at are drawn by

    P(item | taste, time) ∝ popularity(item, time) * item_tastes[item, taste] ** SHARPNESS

save for a share of idle browsing that follows popularity alone. A look may become a like, a place
in the basket, a purchase: the likelier, the better the item fits the user. The mixtures are saved
next to the log, so that a test can ask whether a model finds them again.

    python data/generate.py [--out data/sample] [--seed 7]
"""

import argparse
import tomllib
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

Floats = NDArray[np.float64]
Ints = NDArray[np.int64]

TASTES = ("wonder", "mystery", "play", "comfort", "craft", "nature", "history", "music")
N_USERS = 1_000
ITEMS_PER_CATEGORY = 50
DAY = 86_400
N_DAYS = 365
NEW_YEAR = 1_735_689_600  # 2025-01-01T00:00:00Z, a Wednesday

# How people behave. Chosen so that taste matters about as much as it does in real shops.
SHARPNESS = 2.0  # how strictly a session keeps to its taste
BROWSING_SHARE = 0.12  # looks that follow popularity alone
REVISIT_SHARE = 0.08  # looks at something the user has looked at before
ZIPF_EXPONENT = 0.75
NEW_ITEM_SHARE = 0.25  # items that arrive during the year
NEW_USER_SHARE = 0.35
WEEKDAY_VISITS = (0.9, 0.9, 0.95, 1.0, 1.25, 1.5, 1.4)  # Monday first
HOUR_VISITS = (1, 0.5, 0.3, 0.2, 0.2, 0.4, 1, 2, 2, 2, 2, 3, 4, 3, 2, 2, 3, 4, 6, 9, 11, 10, 6, 3)
# After a look, in this order: the chance for an item that does not fit, and for one that fits.
FUNNEL = {"like": (0.02, 0.20), "cart": (0.02, 0.16), "purchase": (0.01, 0.11)}

# The README's examples name these: a user of clear taste, and well-known items to that taste.
# The first of them is kept for a recommendation: the user has not looked at it yet.
README_USER, README_TASTES = 42, {"wonder": 0.8, "comfort": 0.2}
README_ITEMS = {9: "Space Tales", 7: "Space Tales", 19: "Folk Tales"}


@dataclass(frozen=True)
class Items:
    """The catalogue; row i is item ``i{i + 1}``."""

    category: list[str]
    title: list[str]
    price: Floats
    arrival: Ints  # (n_items,) unix seconds, 0 for what was there from the start
    popularity: Floats  # (n_items,) > 0
    tastes: Floats  # (n_items, n_tastes), rows sum to 1


@dataclass(frozen=True)
class Users:
    """The customers; row u is user ``u{u + 1}``."""

    tastes: Floats  # (n_users, n_tastes), rows sum to 1
    first_day: Ints  # (n_users,) day of the year of the first possible visit
    n_sessions: Ints  # (n_users,)


@dataclass(frozen=True)
class Look:
    """One look at an item, before it becomes events."""

    user: int
    item: int
    session: int
    timestamp: int


def read_categories() -> list[dict[str, Any]]:
    """Return the shelves of the shop as `categories.toml` describes them."""
    path = Path(__file__).with_name("categories.toml")
    categories: list[dict[str, Any]] = tomllib.loads(path.read_text("utf-8"))["category"]
    return categories


def mixtures(rng: np.random.Generator, means: Floats, concentration: float) -> Floats:
    """Draw rows that sum to 1 around rows of means; the larger the concentration, the closer."""
    shares = rng.standard_gamma(concentration * means + 0.02)
    rows: Floats = np.round(shares / shares.sum(axis=1, keepdims=True), 4)
    return rows


def taste_vector(tastes: dict[str, float]) -> Floats:
    """Return named tastes as a row that sums to 1."""
    row = np.array([tastes.get(name, 0.0) for name in TASTES])
    mixture: Floats = row / row.sum()
    return mixture


def make_items(rng: np.random.Generator, categories: list[dict[str, Any]]) -> Items:
    """Fill every shelf, and shuffle, so that an item's number does not reveal its shelf."""
    n_items = ITEMS_PER_CATEGORY * len(categories)
    shelf = shuffled_shelves(rng, [category["name"] for category in categories])
    titles = [iter(make_titles(rng, category)) for category in categories]
    means = np.array([taste_vector(category["tastes"]) for category in categories])
    list_price = np.array([category["price"] for category in categories])
    return Items(
        category=[categories[row]["name"] for row in shelf],
        title=[next(titles[row]) for row in shelf],
        price=np.floor(list_price[shelf] * rng.uniform(0.7, 1.5, n_items)) + 0.9,
        arrival=make_arrivals(rng, n_items),
        popularity=make_popularity(rng, n_items),
        tastes=mixtures(rng, means[shelf], concentration=12),
    )


def shuffled_shelves(rng: np.random.Generator, names: list[str]) -> Ints:
    """Return each item's category, shuffled, with the README's items on theirs."""
    shelf = rng.permutation(np.repeat(np.arange(len(names)), ITEMS_PER_CATEGORY))
    others = np.setdiff1d(np.arange(len(shelf)), [number - 1 for number in README_ITEMS])
    for number, name in README_ITEMS.items():
        item, wanted = number - 1, names.index(name)
        other = others[shelf[others] == wanted][0]
        shelf[other], shelf[item] = shelf[item], shelf[other]
    return shelf


def make_titles(rng: np.random.Generator, category: dict[str, Any]) -> list[str]:
    """Combine the words of a shelf into distinct titles."""
    pairs = [(first, second) for first in category["first"] for second in category["second"]]
    chosen = rng.permutation(len(pairs))[:ITEMS_PER_CATEGORY]
    template = str(category["title"])
    return [template.format(first=pairs[n][0], second=pairs[n][1]) for n in chosen]


def make_popularity(rng: np.random.Generator, n_items: int) -> Floats:
    """Zipf's law over a random order, the README's items near the top."""
    rank = rng.permutation(n_items)
    for place, number in enumerate(README_ITEMS, start=4):
        other = int(np.flatnonzero(rank == place)[0])
        rank[other], rank[number - 1] = rank[number - 1], rank[other]
    popularity: Floats = np.power(rank + 10.0, -ZIPF_EXPONENT, dtype=np.float64)
    return popularity


def make_arrivals(rng: np.random.Generator, n_items: int) -> Ints:
    """Most items are there from the start; the others arrive through the year."""
    is_new = rng.random(n_items) < NEW_ITEM_SHARE
    is_new[[number - 1 for number in README_ITEMS]] = False
    day = rng.integers(20, N_DAYS - 20, n_items)
    return np.where(is_new, NEW_YEAR + DAY * day, 0)


def make_users(rng: np.random.Generator) -> Users:
    """Draw customers of one to three tastes; a few come often, most now and then."""
    tastes = mixtures(rng, np.full((N_USERS, len(TASTES)), 1 / len(TASTES)), concentration=0.8)
    joins_later = rng.random(N_USERS) < NEW_USER_SHARE
    first_day = np.where(joins_later, rng.integers(0, N_DAYS - 40, N_USERS), 0)
    n_sessions = np.clip(np.rint(rng.lognormal(1.7, 0.75, N_USERS)), 2, 38).astype(np.int64)
    row = README_USER - 1
    tastes[row], first_day[row], n_sessions[row] = taste_vector(README_TASTES), 0, 18
    return Users(tastes, first_day, n_sessions)


def session_starts(rng: np.random.Generator, users: Users, user: int) -> Ints:
    """Draw a user's visits: at most one a day, more at the weekend, most of them in the evening."""
    days = np.arange(users.first_day[user], N_DAYS)
    weekday = (days + 2) % 7  # the year began on a Wednesday
    chance = np.array(WEEKDAY_VISITS)[weekday]
    chosen = rng.choice(days, size=users.n_sessions[user], replace=False, p=chance / chance.sum())
    hours = np.array(HOUR_VISITS) / sum(HOUR_VISITS)
    hour = rng.choice(24, size=len(chosen), p=hours)
    second = rng.integers(0, 2400, len(chosen))  # leaves room for the session within the hour
    return np.sort(NEW_YEAR + DAY * chosen + 3600 * hour + second)


def popularity_at(items: Items, timestamp: int) -> Floats:
    """Popularity at one moment: none before arrival, and a few weeks of curiosity after it."""
    age_days = (timestamp - items.arrival) / DAY
    curiosity = 1 + 2 * np.exp2(-np.maximum(age_days, 0) / 21)
    return items.popularity * np.where(age_days >= 0, curiosity, 0.0)


def choose_items(
    rng: np.random.Generator, items: Items, taste: int, timestamp: int, seen: list[int]
) -> list[int]:
    """Draw what one session looks at, in order, without repeats inside the session."""
    popularity = popularity_at(items, timestamp)
    liking = popularity * items.tastes[:, taste] ** SHARPNESS
    chance = BROWSING_SHARE * popularity / popularity.sum()
    chance += (1 - BROWSING_SHARE) * liking / liking.sum()
    size = min(int(rng.geometric(0.30)), 12)
    chosen = rng.choice(len(chance), size=size, replace=False, p=chance).tolist()
    if seen:
        back = rng.random(size) < REVISIT_SHARE
        old = rng.choice(seen, size=size).tolist()
        chosen = [old[n] if back[n] else chosen[n] for n in range(size)]
    return list(dict.fromkeys(chosen))


def make_looks(rng: np.random.Generator, users: Users, items: Items) -> list[Look]:
    """Let every user live through the year, and return all looks in time order."""
    looks = []
    unseen = next(iter(README_ITEMS)) - 1
    session = 0
    for user in range(N_USERS):
        seen: list[int] = []
        for start in session_starts(rng, users, user).tolist():
            taste = int(rng.choice(len(TASTES), p=users.tastes[user] / users.tastes[user].sum()))
            chosen = choose_items(rng, items, taste, start, seen)
            if user == README_USER - 1:
                chosen = [item for item in chosen if item != unseen]
            seconds = np.cumsum(rng.integers(20, 100, len(chosen))).tolist()
            looks += [
                Look(user, item, session, start + second)
                for item, second in zip(chosen, seconds, strict=True)
            ]
            seen += chosen
            session += 1
    return sorted(looks, key=lambda look: (look.timestamp, look.user, look.item))


def fit(users: Users, items: Items) -> Floats:
    """How well an item fits a user, 0 to 1 (n_users, n_items): cosine of their tastes."""
    user_norms = np.linalg.norm(users.tastes, axis=1)
    item_norms = np.linalg.norm(items.tastes, axis=1)
    dots = np.einsum("ut,it->ui", users.tastes, items.tastes)
    cosines: Floats = dots / np.outer(user_norms, item_norms)
    return cosines.clip(0, 1)


def make_events(
    rng: np.random.Generator, looks: list[Look], fits: Floats
) -> tuple[list[Look], list[str]]:
    """Let looks become likes, baskets and purchases, a few seconds after one another."""
    steps, events = [], []
    for look in looks:
        steps.append(look)
        events.append("view")
        fit_of_look = fits[look.user, look.item]
        for n, (event, (low, high)) in enumerate(FUNNEL.items(), start=1):
            if rng.random() < low + (high - low) * fit_of_look:
                later = look.timestamp + 4 * n
                steps.append(Look(look.user, look.item, look.session, later))
                events.append(event)
    order = sorted(range(len(steps)), key=lambda n: (steps[n].timestamp, steps[n].session))
    return [steps[n] for n in order], [events[n] for n in order]


def events_table(steps: list[Look], events: list[str]) -> pa.Table:
    """Return the log, one row per event in time order; sessions are numbered as they begin."""
    first_seen = {session: n for n, session in enumerate(dict.fromkeys(s.session for s in steps))}
    return pa.table(
        {
            "user_id": [f"u{step.user + 1}" for step in steps],
            "item_id": [f"i{step.item + 1}" for step in steps],
            "timestamp": pa.array([step.timestamp for step in steps], pa.int64()),
            "event": events,
            "session_id": [f"s{first_seen[step.session] + 1}" for step in steps],
        }
    )


def items_table(items: Items) -> pa.Table:
    """Return the catalogue."""
    return pa.table(
        {
            "item_id": [f"i{row + 1}" for row in range(len(items.title))],
            "title": items.title,
            "category": items.category,
            "price": np.round(items.price, 2),
        }
    )


def truth_table(id_name: str, prefix: str, tastes: Floats) -> pa.Table:
    """Return a matrix of tastes with its ids, one column per taste."""
    ids = [f"{prefix}{row + 1}" for row in range(len(tastes))]
    columns = {name: tastes[:, n] for n, name in enumerate(TASTES)}
    return pa.table({id_name: ids, **columns})


def generate(seed: int) -> dict[str, pa.Table]:
    """Return the tables of the sample by file name; the same seed gives the same tables."""
    rng = np.random.default_rng(seed)
    items = make_items(rng, read_categories())
    users = make_users(rng)
    looks = make_looks(rng, users, items)
    steps, events = make_events(rng, looks, fit(users, items))
    return {
        "events.parquet": events_table(steps, events),
        "items.parquet": items_table(items),
        "users_truth.parquet": truth_table("user_id", "u", users.tastes),
        "items_truth.parquet": truth_table("item_id", "i", items.tastes),
    }


def main() -> None:
    """Write the sample and say what was written."""
    parser = argparse.ArgumentParser(description="Generate the bundled sample log.")
    parser.add_argument("--out", type=Path, default=Path(__file__).with_name("sample"))
    parser.add_argument("--seed", type=int, default=7)
    arguments = parser.parse_args()
    arguments.out.mkdir(parents=True, exist_ok=True)
    for name, table in generate(arguments.seed).items():
        path = arguments.out / name
        pq.write_table(table, path, compression="zstd", compression_level=19)
        print(f"{path}: {table.num_rows:,} rows, {path.stat().st_size:,} bytes")


if __name__ == "__main__":
    main()
