"""The registry of public interaction logs: what each is, its terms, and where to get it."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace

from recsys.settings import LogSettings


@dataclass(frozen=True)
class Dataset:
    """A public interaction log.

    Parameters
    ----------
    name : str
        What to call it in `fetch`.
    what : str
        What was recorded, in a few words.
    terms : str
        Licence or terms of use, in a few words; the publisher's own text is what counts.
    home : str
        Page of the publisher.
    n_interactions : int
        Rows of the log.
    megabytes : float
        Size of the download, 10^6 bytes.
    settings : LogSettings
        How to read the file that `fetch` returns.
    url : str or None
        The file to download, a zip archive; None if it cannot be fetched.
    checksum : str or None
        ``md5:...`` or ``sha256:...`` of that file.
    checksum_url : str or None
        Where the publisher states it, for a file that the publisher renews now and then.
    log : str
        The log inside the archive.
    items : str or None
        The table of items inside the archive, if it can be read as it is.
    item_columns : mapping of str to str
        Our name to its name, as in `ItemSettings`.
    by_hand : str
        What to do instead of `fetch`.
    """

    name: str
    what: str
    terms: str
    home: str
    n_interactions: int
    megabytes: float
    settings: LogSettings = field(default_factory=LogSettings)
    url: str | None = None
    checksum: str | None = None
    checksum_url: str | None = None
    log: str = ""
    items: str | None = None
    item_columns: Mapping[str, str] = field(default_factory=dict)
    by_hand: str = ""

    @property
    def fetchable(self) -> bool:
        """Whether there are an address and a checksum."""
        return self.url is not None and (self.checksum or self.checksum_url) is not None


LIKED = LogSettings(value_scale="none", min_value=4)  # stars: four or more is a like

_MOVIELENS_CSV = Dataset(
    name="",
    what="film ratings, half a star to five",
    terms="research; no commercial use without permission",
    home="https://grouplens.org/datasets/movielens/",
    n_interactions=0,
    megabytes=0,
    settings=replace(
        LIKED,
        columns={
            "user_id": "userId",
            "item_id": "movieId",
            "timestamp": "timestamp",
            "value": "rating",
        },
    ),
    item_columns={"item_id": "movieId", "title": "title", "category": "genres"},
)


def _movielens(name: str, n_interactions: int, megabytes: float, md5: str | None) -> Dataset:
    url = f"https://files.grouplens.org/datasets/movielens/{name}.zip"
    return replace(
        _MOVIELENS_CSV,
        name=name,
        n_interactions=n_interactions,
        megabytes=megabytes,
        url=url,
        checksum=None if md5 is None else f"md5:{md5}",
        checksum_url=f"{url}.md5" if md5 is None else None,
        log=f"{name}/ratings.csv",
        items=f"{name}/movies.csv",
    )


def _bare_movielens(
    name: str, n_interactions: int, megabytes: float, md5: str, log: str, delimiter: str
) -> Dataset:
    names = ("user_id", "item_id", "value", "timestamp")
    return replace(
        _movielens(name, n_interactions, megabytes, md5),
        what="film ratings, one star to five",
        terms="research; no redistribution, no commercial use without permission",
        settings=replace(LIKED, format="csv", delimiter=delimiter, names=names),
        log=log,
        items=None,
        item_columns={},
    )


_ALL = (
    _movielens("ml-latest-small", 100_836, 1.0, None),
    _bare_movielens(
        "ml-100k", 100_000, 4.9, "0e33842e24a9c977be4e0107933c0723", "ml-100k/u.data", "\t"
    ),
    _bare_movielens(
        "ml-1m", 1_000_209, 5.9, "c4d9eecfca2ab87c1945afe126590906", "ml-1m/ratings.dat", "::"
    ),
    _bare_movielens(
        "ml-10m",
        10_000_054,
        65.6,
        "ce571fd55effeba0271552578f2648bd",
        "ml-10M100K/ratings.dat",
        "::",
    ),
    _movielens("ml-20m", 20_000_263, 198.7, "cd245b17a1ae2cc31bb14903e1204af3"),
    _movielens("ml-25m", 25_000_095, 262.0, "6b51fb2759a8657d3bfcbfc42b592ada"),
    _movielens("ml-32m", 32_000_204, 239.0, "d472be332d4daa821edc399621853b57"),
    Dataset(
        name="lastfm-2k",
        what="listening counts of artists (HetRec 2011), no time",
        terms="non-commercial use",
        home="https://grouplens.org/datasets/hetrec-2011/",
        n_interactions=92_834,
        megabytes=2.6,
        settings=LogSettings(
            format="csv",
            columns={"user_id": "userID", "item_id": "artistID", "value": "weight"},
            value_scale="log",
        ),
        by_hand="unzip hetrec2011-lastfm-2k.zip and read user_artists.dat",
    ),
    Dataset(
        name="gowalla",
        what="check-ins at places",
        terms="none stated; cite Cho, Myers, Leskovec 2011",
        home="https://snap.stanford.edu/data/loc-gowalla.html",
        n_interactions=6_442_890,
        megabytes=105.0,
        settings=LogSettings(format="csv", duplicates="count"),
        by_hand="put the header user_id, timestamp, latitude, longitude, item_id, separated by "
        "tabs, above loc-gowalla_totalCheckins.txt",
    ),
    Dataset(
        name="online-retail",
        what="purchases of a gift shop, cancels included",
        terms="CC BY 4.0",
        home="https://archive.ics.uci.edu/dataset/352/online+retail",
        n_interactions=541_909,
        megabytes=22.6,
        settings=LogSettings(
            columns={
                "user_id": "CustomerID",
                "item_id": "StockCode",
                "timestamp": "InvoiceDate",
                "value": "Quantity",
            },
            value_scale="log",
            max_rejected_share=0.3,  # a quarter of the rows has no customer
        ),
        by_hand="save the sheet of Online Retail.xlsx as CSV, dates as 2010-12-01 08:26:00",
    ),
    Dataset(
        name="goodbooks-10k",
        what="book ratings, one star to five, no time",
        terms="CC BY-SA 4.0",
        home="https://github.com/zygmuntz/goodbooks-10k",
        n_interactions=5_976_479,
        megabytes=11.6,
        settings=replace(
            LIKED, columns={"user_id": "user_id", "item_id": "book_id", "value": "rating"}
        ),
        by_hand="unzip the release and read ratings.csv",
    ),
)
DATASETS: Mapping[str, Dataset] = {dataset.name: dataset for dataset in _ALL}
"""The public logs by name."""


def describe(datasets: Mapping[str, Dataset] = DATASETS) -> list[dict[str, str | float | bool]]:
    """Return one row per dataset, for a table or for JSON.

    Returns
    -------
    list of dict
        Keys name, what, interactions, megabytes, terms, home, fetchable, and by_hand: what to do
        where it cannot be fetched.
    """
    return [
        {
            "name": dataset.name,
            "what": dataset.what,
            "interactions": dataset.n_interactions,
            "megabytes": dataset.megabytes,
            "terms": dataset.terms,
            "home": dataset.home,
            "fetchable": dataset.fetchable,
            "by_hand": dataset.by_hand,
        }
        for dataset in datasets.values()
    ]
