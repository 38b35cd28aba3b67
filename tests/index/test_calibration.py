"""What is built is measured, and refused below its target."""

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from recsys.errors import ConfigError, GateFailedError, StoreError
from recsys.index import (
    SHORT,
    AnnoyIndex,
    ExactIndex,
    IndexSettings,
    PlainIndex,
    Sample,
    build_index,
    load_index,
)
from recsys.index.building import ANSWERS
from recsys.index.forest import FOREST


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
    facts = build_index(items, sample, settings, tmp_path)
    index = load_index(items, tmp_path, facts)
    assert isinstance(index, AnnoyIndex)
    assert facts["recall@20"] >= target
    assert facts["recall@20"] == pytest.approx(recall_by_hand(index, items, sample))
    assert facts["recall@100"] >= target
    assert facts["n_users_measured"] == 60
    assert 0 < facts["p50_ms"] <= facts["p99_ms"]
    assert not list(tmp_path.glob("tried-*"))


def test_other_users_are_served_as_well(tmp_path: Path, items, sample) -> None:
    settings = IndexSettings(target_recall=0.95, trees=5, head_share=0.05)
    facts = build_index(items, sample, settings, tmp_path)
    rng = np.random.default_rng(7)
    others = rng.standard_normal((300, 16)).astype(np.float32)
    other_sample = Sample(others, [np.empty(0, np.int32)] * 300)
    index = load_index(items, tmp_path, facts)
    assert recall_by_hand(index, items, other_sample) > 0.94


def test_a_higher_target_searches_more(tmp_path: Path, items, sample) -> None:
    searched = []
    for target in (0.5, 1.0):
        settings = IndexSettings(target_recall=target, trees=5, head_share=0.0)
        facts = build_index(items, sample, settings, tmp_path)
        searched.append(facts["search_k"]["20"])
    assert searched[0] < searched[1]


POOR = IndexSettings(target_recall=0.99, trees=1, head_share=0.0, max_search_k=100)


def test_an_index_below_its_target_is_refused(tmp_path: Path, items, sample) -> None:
    with pytest.raises(GateFailedError, match=r"at least 0\.99.*raise index\.head_share") as caught:
        build_index(items, sample, POOR, tmp_path)
    assert len(caught.value.failures) == 1


def test_auto_takes_exact_where_annoy_misses(tmp_path: Path, items, sample) -> None:
    facts = build_index(items, sample, replace(POOR, kind="auto"), tmp_path)
    assert facts["kind"] == "exact"
    assert not (tmp_path / FOREST).exists()
    assert isinstance(load_index(items, tmp_path, facts), ExactIndex)


def test_exact_has_no_forest(tmp_path: Path, items, sample) -> None:
    facts = build_index(items, sample, IndexSettings(kind="exact"), tmp_path)
    assert facts["kind"] == "exact"
    assert facts["recall@20"] == facts["recall@100"] == 1
    assert not (tmp_path / FOREST).exists()


@pytest.mark.parametrize("n_items", [0, 1, 2, 25])
@pytest.mark.parametrize("fill", [0.0, 1.0])
@pytest.mark.parametrize("cosine", [False, True])
def test_tiny_and_zero_catalogues(tmp_path: Path, n_items: int, fill: float, cosine: bool) -> None:
    items = np.full((n_items, 4), fill, dtype=np.float32)
    users = np.ones((2, 4), dtype=np.float32)
    seen = [np.empty(0, np.int32), np.arange(min(n_items, 1), dtype=np.int32)]
    facts = build_index(items, Sample(users, seen), IndexSettings(), tmp_path, cosine=cosine)
    index = load_index(items, tmp_path, facts)
    for user, exclude in zip(users, seen, strict=True):
        rows, scores = index.search(user, 40, exclude)
        assert rows.tolist() == [row for row in range(n_items) if row not in exclude]
        assert scores.tolist() == [(2 if cosine else 4) * fill] * len(rows)


def test_ties_are_no_misses(tmp_path: Path) -> None:
    """All items alike: whichever are found, they are as good as any."""
    items = np.ones((500, 2), dtype=np.float32)
    sample = Sample(np.ones((3, 2), np.float32), [np.empty(0, np.int32)] * 3)
    facts = build_index(items, sample, IndexSettings(), tmp_path)
    assert facts["kind"] == "annoy"
    assert facts["recall@20"] == 1


def test_without_users_there_is_nothing_to_measure(tmp_path: Path, items, sample) -> None:
    facts = build_index(items, Sample(sample.users[:0], []), IndexSettings(), tmp_path)
    assert facts["recall@20"] is None
    assert facts["p50_ms"] is None
    assert load_index(items, tmp_path, facts).search(sample.users[0], 3, sample.seen[0])


def test_an_unknown_kind_is_of_another_release(tmp_path: Path, items) -> None:
    with pytest.raises(StoreError, match="'quantum'"):
        load_index(items, tmp_path, {"kind": "quantum"})


@pytest.mark.parametrize("cosine", [False, True])
@pytest.mark.parametrize("kind", ["annoy", "exact"])
def test_an_index_that_answers_otherwise_than_when_built_is_not_used(
    tmp_path: Path, items, sample, kind, cosine: bool
) -> None:
    """As on a processor for which the search is compiled wrongly, but for the cause."""
    facts = build_index(items, sample, IndexSettings(kind=kind), tmp_path, cosine=cosine)
    answers = np.load(tmp_path / ANSWERS)
    answers[2] *= np.float32(0.9)
    np.save(tmp_path / ANSWERS, answers)
    with pytest.warns(RuntimeWarning, match="answers otherwise than when it was built"):
        index = load_index(items, tmp_path, facts)
    assert isinstance(index, PlainIndex)
    rows, scores = index.search(sample.users[0], 20, sample.seen[0])
    expected, best = ExactIndex.of(items, cosine=cosine).search(sample.users[0], 20, sample.seen[0])
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
