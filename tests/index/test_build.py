"""What is built is measured, and refused below its target."""

import random
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import ConfigError, GateFailedError, StoreError
from recsys.index import (
    LONG,
    SHORT,
    IndexSummary,
    PlainIndex,
    Sample,
    Searcher,
    build_index,
    load_index,
    measurement,
)
from recsys.index.calibration import CostModel
from recsys.index.compiled import COUNTED, library
from recsys.index.forest import FOREST
from recsys.index.measurement import ANSWERS
from recsys.settings import IndexSettings


@pytest.fixture(scope="module")
def items():
    rng = np.random.default_rng(0)
    norms = rng.lognormal(0, 0.4, (3000, 1))
    return (rng.standard_normal((3000, 16)) * norms).astype(np.float32)


@pytest.fixture(scope="module")
def sample() -> Sample:
    rng = np.random.default_rng(1)
    users = rng.standard_normal((60, 16)).astype(np.float32)
    seen = [rng.choice(3000, 30, replace=False).astype(np.int32) for _ in users]
    return Sample(users, seen)


def recall_by_hand(index, items, sample: Sample) -> float:
    found = wanted = 0
    for user, exclude in zip(sample.users, sample.seen, strict=True):
        scores = items.astype(np.float64) @ user
        scores[exclude] = -np.inf
        best = set(np.argsort(-scores)[:SHORT].tolist())
        found += len(best & set(index.search(user, SHORT, exclude)[0].tolist()))
        wanted += len(best)
    return found / wanted


@pytest.mark.parametrize("target", [0.5, 0.98, 1.0])
@pytest.mark.parametrize("head_share", [0.05, None])
def test_the_forest_is_searched_until_the_target_is_met(
    tmp_path: Path, items, sample, target: float, head_share
) -> None:
    settings = IndexSettings(target_recall=target, trees=5, head_share=head_share)
    built = build_index(items, sample, settings, tmp_path)
    index = load_index(items, tmp_path, built)
    assert built.kind == "annoy"
    assert built.recall[SHORT] >= target
    assert built.recall[SHORT] == pytest.approx(recall_by_hand(index, items, sample))
    assert built.recall[LONG] >= target
    assert built.n_users_measured == 60
    assert 0 < built.times[SHORT].p50 <= built.times[SHORT].p99
    assert not list(tmp_path.glob("tried-*"))


def test_other_users_are_served_as_well(tmp_path: Path, items, sample) -> None:
    settings = IndexSettings(target_recall=0.95, trees=5, head_share=0.05)
    built = build_index(items, sample, settings, tmp_path)
    rng = np.random.default_rng(7)
    others = rng.standard_normal((300, 16)).astype(np.float32)
    other_sample = Sample(others, [np.empty(0, np.int32)] * 300)
    index = load_index(items, tmp_path, built)
    assert recall_by_hand(index, items, other_sample) > 0.94


def test_a_higher_target_searches_more(tmp_path: Path, items, sample) -> None:
    searched = []
    for target in (0.5, 1.0):
        settings = IndexSettings(target_recall=target, trees=5, head_share=0.0)
        forest = build_index(items, sample, settings, tmp_path).forest
        searched.append(forest.search_k[SHORT])
    assert searched[0] < searched[1]


@contextmanager
def busy_machine() -> Iterator[None]:
    """Keep more processes busy than there are cores."""
    busy = [subprocess.Popen([sys.executable, "-c", "while True: pass"]) for _ in range(4)]
    try:
        yield
    finally:
        for process in busy:
            process.kill()
            process.wait()


def files_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def without_times(built: IndexSummary) -> IndexSummary:
    return replace(built, times={}, exact_p50_ms=None)


@pytest.mark.parametrize(
    "chosen",
    [
        IndexSettings(trees=5),
        IndexSettings(trees=5, kind="auto", target_recall=0.6),
        IndexSettings(kind="exact"),
    ],
    ids=lambda chosen: chosen.kind,
)
def test_neither_a_clock_nor_a_busy_machine_changes_an_index(
    tmp_path: Path, monkeypatch, items, sample, chosen
) -> None:
    folders = [tmp_path / name for name in ("quiet", "busy")]
    for folder in folders:
        folder.mkdir()
    quiet = build_index(items, sample, chosen, folders[0])
    draw, time = random.Random(0), [0.0]

    def erratic_clock() -> float:
        time[0] += draw.choice([0.0, 1e-6, 1e-3, 1.0, 1000.0])
        return time[0]

    monkeypatch.setattr(measurement, "perf_counter", erratic_clock)
    with busy_machine():
        busy = build_index(items, sample, chosen, folders[1])
    assert files_of(folders[0]) == files_of(folders[1])
    assert without_times(quiet) == without_times(busy)
    assert quiet.times != busy.times


def test_other_instructions_count_the_same_work(tmp_path: Path, items, sample) -> None:
    if not library.use_vnni(1):
        pytest.skip("this processor has no AVX512-VNNI")
    built = []
    try:
        for wanted in (0, 1):
            library.use_vnni(wanted)
            folder = tmp_path / str(wanted)
            folder.mkdir()
            summary = build_index(items, sample, IndexSettings(trees=5), folder)
            built.append((without_times(summary), files_of(folder)))
    finally:
        library.use_vnni(1)
    assert built[0] == built[1]


def test_work_is_what_a_query_does(items) -> None:
    """A scan of everything, one that ends early, and one whose items are all excluded."""
    alike = items / np.linalg.norm(items, axis=1)[:, None]
    user, nothing = items[0], np.empty(0, np.int32)
    for vectors, exclude in ((alike, nothing), (items, nothing), (alike, np.arange(3000))):
        index = Searcher.of(vectors)
        found, _ = index.search(user, 10, exclude.astype(np.int32))
        work = dict(zip(COUNTED, index.last_work().tolist(), strict=True))
        assert work["masked"] == 188  # blocks of 16
        assert work["excluded"] == len(exclude)
        assert work["listed"] == len(found) == (0 if len(exclude) else 10)
        assert work["nodes"] == 0
        assert work["listed"] <= work["vectors"] <= work["hits"] <= 16 * work["blocks"]
        expected = {0: 188, 3000: 0}[len(exclude)]
        assert work["blocks"] == expected if vectors is alike else 0 < work["blocks"] < 188


def test_a_forest_is_counted_by_nodes_and_vectors(tmp_path: Path, items, sample) -> None:
    settings = IndexSettings(trees=5, head_share=0.0, target_recall=0.5)
    index = load_index(items, tmp_path, build_index(items, sample, settings, tmp_path))
    index.search(sample.users[0], SHORT, sample.seen[0][: index.most_excluded[SHORT]])
    work = dict(zip(COUNTED, index.last_work().tolist(), strict=True))
    assert work["blocks"] == work["hits"] == 0
    assert work["nodes"] > 5
    assert index.search_k[SHORT] <= work["vectors"] < index.search_k[SHORT] + 100


def test_costs_add_up() -> None:
    model = CostModel(*range(1, 14))
    one = np.eye(len(COUNTED), dtype=np.int64)
    each = model.nanoseconds(one, factors=6) - model.query
    # A block of 6 factors has 3 * 64 bytes, its scales among them; a vector 24; in 4 bits a block
    # of 8 numbers has 64, and 16 of its limits.
    of_vector = 9 * 24
    assert each.tolist() == [
        *(2, 3, 4 + 5 * 192, 6, 7 + of_vector, 8 + of_vector, 10),
        *(11 * 24, 12, 13 * 80),
    ]
    assert model.nanoseconds(one.sum(axis=0)[None], 6) == model.query + each.sum()


@pytest.mark.parametrize("n_users", [1, 60])
def test_a_summary_is_read_as_it_was_written(tmp_path: Path, items, sample, n_users: int) -> None:
    few = Sample(sample.users[:n_users], sample.seen[:n_users])
    for kind in ("annoy", "exact"):
        built = build_index(items, few, IndexSettings(kind=kind, trees=2), tmp_path)
        assert IndexSummary.from_dict(built.to_dict()) == built


def test_a_long_list_is_scanned_where_the_forest_costs_more(tmp_path: Path) -> None:
    """Items all of one norm, for which a forest needs many candidates."""
    rng = np.random.default_rng(0)
    items = rng.standard_normal((3000, 16)).astype(np.float32)
    items /= np.linalg.norm(items, axis=1)[:, None]
    users = rng.standard_normal((20, 16)).astype(np.float32)
    sample = Sample(users, [np.empty(0, np.int32)] * 20)
    built = build_index(items, sample, IndexSettings(trees=3, target_recall=1.0), tmp_path)
    assert built.forest.search_k[LONG] == 0
    assert built.recall[LONG] == 1
    assert built.work[LONG].ms <= built.work[LONG].exact_ms


POOR = IndexSettings(target_recall=0.99, trees=1, head_share=0.0, max_search_k=100)


def test_an_index_below_its_target_is_refused(tmp_path: Path, items, sample) -> None:
    with pytest.raises(GateFailedError, match=r"at least 0\.99.*raise index\.head_share") as caught:
        build_index(items, sample, POOR, tmp_path)
    assert len(caught.value.failures) == 1


def test_auto_takes_exact_where_annoy_misses(tmp_path: Path, items, sample) -> None:
    built = build_index(items, sample, replace(POOR, kind="auto"), tmp_path)
    assert built.kind == "exact"
    assert not (tmp_path / FOREST).exists()
    assert isinstance(load_index(items, tmp_path, built), Searcher)


def test_exact_has_no_forest(tmp_path: Path, items, sample) -> None:
    built = build_index(items, sample, IndexSettings(kind="exact"), tmp_path)
    assert built.kind == "exact"
    assert built.recall == {SHORT: 1, LONG: 1}
    assert not (tmp_path / FOREST).exists()


@pytest.mark.parametrize("n_items", [0, 1, 2, 25])
@pytest.mark.parametrize("fill", [0.0, 1.0])
@pytest.mark.parametrize("cosine", [False, True])
def test_tiny_and_zero_catalogues(tmp_path: Path, n_items: int, fill: float, cosine: bool) -> None:
    items = np.full((n_items, 4), fill, dtype=np.float32)
    users = np.ones((2, 4), dtype=np.float32)
    seen = [np.empty(0, np.int32), np.arange(min(n_items, 1), dtype=np.int32)]
    built = build_index(items, Sample(users, seen), IndexSettings(), tmp_path, cosine=cosine)
    index = load_index(items, tmp_path, built)
    for user, exclude in zip(users, seen, strict=True):
        rows, scores = index.search(user, 40, exclude)
        assert rows.tolist() == [row for row in range(n_items) if row not in exclude]
        assert scores.tolist() == [(2 if cosine else 4) * fill] * len(rows)


def test_ties_are_no_misses(tmp_path: Path) -> None:
    """All items alike: whichever are found, they are as good as any."""
    items = np.ones((500, 2), dtype=np.float32)
    sample = Sample(np.ones((3, 2), np.float32), [np.empty(0, np.int32)] * 3)
    built = build_index(items, sample, IndexSettings(), tmp_path)
    assert built.kind == "annoy"
    assert built.recall[SHORT] == 1


def test_without_users_there_is_nothing_to_measure(tmp_path: Path, items, sample) -> None:
    built = build_index(items, Sample(sample.users[:0], []), IndexSettings(), tmp_path)
    assert built.recall[SHORT] is None
    assert built.times[SHORT].p50 is None
    assert IndexSummary.from_dict(built.to_dict()) == built
    assert load_index(items, tmp_path, built).search(sample.users[0], 3, sample.seen[0])


def test_an_unknown_kind_is_of_another_release(tmp_path: Path, items) -> None:
    with pytest.raises(StoreError, match="'quantum'"):
        load_index(items, tmp_path, IndexSummary.from_dict({"kind": "quantum"}))


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("kind", ["annoy", "exact"])
def test_an_index_that_answers_otherwise_than_when_built_is_not_used(
    tmp_path: Path, items, sample, kind, cosine: bool
) -> None:
    """As on a processor for which the search is compiled wrongly, but for the cause."""
    built = build_index(items, sample, IndexSettings(kind=kind), tmp_path, cosine=cosine)
    answers = np.load(tmp_path / ANSWERS)
    answers[2] *= np.float32(0.9)
    np.save(tmp_path / ANSWERS, answers)
    with pytest.warns(RuntimeWarning, match="answers otherwise than when it was built"):
        index = load_index(items, tmp_path, built)
    assert isinstance(index, PlainIndex)
    rows, scores = index.search(sample.users[0], 20, sample.seen[0])
    expected, best = Searcher.of(items, cosine=cosine).search(sample.users[0], 20, sample.seen[0])
    assert rows.tolist() == expected.tolist()
    np.testing.assert_allclose(scores, best, rtol=1e-5)


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("kind", "dot"),
        ("target_recall", 0),
        ("target_recall", 1.1),
        ("target_recall", float("nan")),
        ("head_share", 1.0),
        ("head_share", -0.1),
        ("trees", 0),
        ("max_search_k", 0),
        ("seed", -1),
    ],
)
def test_settings_out_of_range_are_named(name: str, value) -> None:
    with pytest.raises(ConfigError, match=rf"index\.{name}: expected"):
        IndexSettings(**{name: value})
