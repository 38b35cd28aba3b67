"""Published numbers, digit by digit, each with its source.

A number is a string, so that its digits are those of the source. `method` names the run of
`benchmarks.published` that is the same method with the same settings; where the method leaves
nothing to chance, `is_exact` asks it to reach the same digits.

Only numbers that are certain are here: read in the source named, except those of `REVISITED`,
which are as they are widely quoted. That leaves out the tables of LightGCN++ (RecSys 2024),
table 5 of "Revisiting the Performance of iALS on Item Recommendation Benchmarks" (RecSys 2021),
what is only in figures, as GMF, eALS and ItemPop of the NCF paper are, and results on a lastfm
that may be another split than the one in LightGCN-PyTorch.
"""

from collections.abc import Iterator, Mapping
from typing import NamedTuple

BARS = "reczoo/BARS, docs/Matching/leaderboard/gowalla_m1.csv"
ULTRAGCN = "reczoo/RecZoo, matching/gnn/UltraGCN/README.md"
SIMPLEX = "reczoo/RecZoo, matching/cf/SimpleX/README.md"
NESCL = "PeiJieSun/NESCL, README.md"
LIGHTGCN = "gusye1234/LightGCN-PyTorch, README.md, seed 2020"
WORRYING = "MaurizioFD/RecSys2019_DeepLearning_Evaluation, FULL_RESULTS.md"
REVISITED = "Rendle et al., RecSys 2020, arXiv 2005.09683"
NCF = "He et al., WWW 2017, arXiv 1708.05031, table 2; guoyang9/NCF, README.md"


class Published(NamedTuple):
    """What one source says of one model on one split."""

    split: str
    model: str
    values: Mapping[str, str]  # by metric
    source: str
    method: str = ""
    is_exact: bool = False


def rows(
    split: str,
    source: str,
    metrics: str,
    numbers: str,
    methods: Mapping[str, str] | None = None,
    exact: tuple[str, ...] = (),
) -> Iterator[Published]:
    """Yield the lines of a table: a model, a colon, and a number or "-" for each metric."""
    for line in numbers.strip().splitlines():
        model, _, cells = line.strip().partition(":")
        named = zip(metrics.split(), cells.split(), strict=True)
        values = {metric: cell for metric, cell in named if cell != "-"}
        yield Published(
            split, model, values, source, (methods or {}).get(model, ""), model in exact
        )


GOWALLA = [
    *rows(
        "gowalla",
        "reczoo/BARS, matching/cf/EASE_R/EASE_gowalla_m1/README.md, l2_reg 80",
        "recall@20 recall@50 ndcg@20 ndcg@50 hit_rate@20 hit_rate@50",
        "EASE: 0.176493 0.270126 0.146657 0.175974 0.572677 0.708051",
        methods={"EASE": "EASE"},
        exact=("EASE",),
    ),
    *rows(
        "gowalla",
        BARS,
        "recall@20 recall@50 ndcg@20 ndcg@50 hit_rate@20 hit_rate@50",
        """
        ItemCF: 0.157 0.2549 0.1214 0.1527 0.5094 0.665
        MF-BPR: 0.1627 0.2533 0.1378 0.1662 0.5544 0.6936
        SLIM: 0.1699 0.2658 0.1382 0.1687 0.5564 0.696
        Item2Vec: 0.1326 0.2158 0.1057 0.132 0.4743 0.6188
        CML: 0.167 0.2602 0.1292 0.1587 0.541 0.675
        ENMF: 0.1523 0.2379 0.1315 0.1583 0.5336 0.6701
        LightGCN, run by BARS: 0.182 0.2821 0.1547 0.1859 0.5924 0.7295
        YoutubeDNN: 0.1754 0.2711 0.1473 0.1772 0.5628 0.6978
        SimpleX: 0.1872 0.2874 0.1557 0.1868 0.5927 0.7272
        MF-CCL: 0.1837 0.2871 0.1493 0.1816 0.584 0.7243
        """,
    ),
    *rows(
        "gowalla",
        BARS,
        "recall@20 ndcg@20",
        """
        LR-GCCF: 0.1519 0.1285
        DGCF: 0.1794 0.1521
        GRMF: 0.1477 0.1205
        NeuMF: 0.1399 0.1212
        CMN: 0.1405 0.1221
        GC-MC: 0.1395 0.1204
        PinSage: 0.138 0.1196
        HOP-Rec: 0.1399 0.1214
        Mult-VAE: 0.1641 0.1335
        DisenGCN: 0.1356 0.1174
        MacridVAE: 0.1618 0.1202
        NIA-GCN: 0.1726 0.1358
        GAT: 0.1501 0.1233
        GF-CF: 0.1849 0.1518
        """,
        methods={"GF-CF": "GF-CF"},
        exact=("GF-CF",),
    ),
    *rows(
        "gowalla",
        ULTRAGCN,
        "recall@20 ndcg@20",
        """
        NGCF: 0.1570 0.1327
        LightGCN: 0.1830 0.1554
        UltraGCN: 0.1862 0.1580
        """,
    ),
    *rows(
        "gowalla",
        LIGHTGCN,
        "recall@20 ndcg@20 precision@20",
        """
        LightGCN, 1 layer: 0.1687 0.1417 0.05106
        LightGCN, 2 layers: 0.1786 0.1524 0.05456
        LightGCN, 3 layers: 0.1824 0.1547 0.05589
        LightGCN, 4 layers: 0.1825 0.1537 0.05576
        """,
    ),
    *rows(
        "gowalla",
        NESCL,
        "recall@20 ndcg@20",
        """
        LT-OCF: 0.1875 0.1574
        BSPM-LM: 0.1901 0.1570
        BSPM-EM: 0.1920 0.1597
        NESCL: 0.1917 0.1617
        """,
        methods={"BSPM-EM": "BSPM-EM"},
    ),
]
LCFN = [
    *rows("ml-1m LCFN", ULTRAGCN, "f1@20 ndcg@20", "LCFN: 0.1625 0.2603"),
    *rows("ml-1m LCFN", ULTRAGCN, "recall@20 ndcg@20", "LightGCN: 0.2576 0.2427"),
    *rows("ml-1m LCFN", ULTRAGCN, "f1@20 ndcg@20 recall@20", "NGCF: 0.1582 0.2511 0.2513"),
    *rows(
        "ml-1m LCFN", ULTRAGCN, "f1@20,means ndcg@20 recall@20", "UltraGCN: 0.2004 0.2642 0.2787"
    ),
    *rows("ml-1m LCFN", SIMPLEX, "f1@20 ndcg@20", "ENMF: 0.1640 0.2656"),
    *rows("ml-1m LCFN", SIMPLEX, "f1@20 ndcg@20 recall@20", "SimpleX: 0.1658 0.2670 0.2802"),
]
LEAVE_ONE_OUT = [
    *rows(
        "ml-1m NCF",
        "README.md of the folder of real logs, counted from this copy",
        "hr@10 ndcg@10",
        "ItemPop: 0.4538 0.2545",
        methods={"ItemPop": "popularity"},
        exact=("ItemPop",),
    ),
    *rows(
        "ml-1m NCF",
        REVISITED,
        "hr@10 ndcg@10",
        """
        Popularity: 0.4535 0.2543
        NeuMF, run by Rendle et al.: 0.7093 0.4349
        iALS, run by others: 0.7111 0.4383
        SLIM: 0.7162 0.4468
        MF: 0.7294 0.4523
        """,
        methods={"Popularity": "popularity, of equals the later"},
        exact=("Popularity",),
    ),
    *rows(
        "ml-1m NCF",
        WORRYING,
        "hr@1 hr@5 ndcg@5 hr@10 ndcg@10",
        """
        TopPop: 0.1051 0.3043 0.2062 0.4531 0.2542
        UserKNN: 0.1666 0.4916 0.3328 0.6705 0.3908
        ItemKNN: 0.1758 0.4829 0.3328 0.6596 0.3900
        P3alpha: 0.1760 0.4811 0.3331 0.6464 0.3867
        RP3beta: 0.1821 0.4922 0.3409 0.6715 0.3991
        PureSVD, 60 factors: 0.2123 0.5377 0.3802 0.6896 0.4294
        NeuMF, run by Dacrema et al.: 0.1841 0.4980 0.3445 0.6725 0.4011
        """,
        methods={
            "TopPop": "popularity, of equals the later",
            "PureSVD, 60 factors": "PureSVD",
        },
    ),
    *rows(
        "ml-1m NCF",
        NCF,
        "hr@10 ndcg@10",
        """
        NeuMF, 32 factors, pre-trained: 0.726 0.445
        NeuMF, 32 factors: 0.701 0.425
        MLP, 32 factors: 0.692 0.425
        """,
    ),
]
PUBLISHED = [*GOWALLA, *LCFN, *LEAVE_ONE_OUT]


def published_on(split: str) -> list[Published]:
    """Return what is published on a split."""
    return [row for row in PUBLISHED if row.split == split]
