"""Distillation against its loss in dense matrices, and in worlds whose answers are known."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import scipy.sparse as sp

from recsys.base.threads import Threads, threads
from recsys.errors import ConfigError, DataError
from recsys.evaluation import evaluate
from recsys.models import ALS, KNN, SVD, Blend, Distilled, Popularity, model_from, parameters_of
from recsys.models.distilled import distilled as of_model
from recsys.models.distilled import student as module
from recsys.models.distilled import teacher as of_teacher
from recsys.models.distilled.steps import at_length_1, take_step
from recsys.models.distilled.student import Student, UserBatch, batches_of, targets_of
from recsys.models.distilled.teacher import TeacherLists, likelihoods, strongest_unseen, teacher_for
from recsys.models.protocol import popularity_of
from recsys.splits import split_random
from recsys.vectors import Embeddings, Scorer, top_k
from recsys.vectors.vector import unit_rows
from tests.worlds import random_user_items, tastes

WORLD = random_user_items(60, 40, 0.15, seed=2)
MODEL = Distilled(factors=6, temperature=0.3, list_length=7, teacher_share=0.4)


def lists_of(scorer: Embeddings, user_items: sp.csr_array, length: int) -> TeacherLists:
    with threads() as pool:
        return strongest_unseen(scorer, user_items, np.arange(user_items.shape[0]), length, pool)


def likelihood_of(scores: list[float]) -> np.ndarray:
    """The softmax of scores in their own deviations."""
    e = np.exp(np.array(scores) / np.std(scores))
    return np.asarray(e / e.sum())


def loss(lists: TeacherLists, items: np.ndarray, summands: np.ndarray, users: np.ndarray) -> float:
    """The docstring of Distilled, user by user, of all weight."""
    y = items / np.linalg.norm(items, axis=1, keepdims=True)
    dense, total, weight, s = WORLD.toarray(), 0.0, 0.0, MODEL.teacher_share
    for u in users:
        seen = np.flatnonzero(dense[u])
        if not len(seen):
            continue
        h = dense[u, seen] / dense[u, seen].sum()
        x = h @ summands[seen]
        logits = y @ (x / np.linalg.norm(x)) / MODEL.temperature
        listed = lists.item_idx[u, : MODEL.list_length]
        q = likelihood_of(lists.scores[u, : MODEL.list_length].tolist())
        unseen = np.setdiff1d(np.arange(40), seen)
        importance = len(seen) ** (1 - MODEL.user_exponent)
        total += importance * (
            (1 - s) * (np.log(np.exp(logits).sum()) - h @ logits[seen])
            + s * (np.log(np.exp(logits[unseen]).sum()) - q @ logits[listed])
        )
        weight += importance
    return total / weight


def test_the_gradient_is_that_of_the_loss() -> None:
    rng = np.random.default_rng(0)
    items, summands = rng.standard_normal((2, 40, 6)).astype(np.float32)
    lists, users = lists_of(SVD(8).fit(WORLD), WORLD, 12), np.arange(60)
    targets = targets_of(WORLD, lists, MODEL)
    weight = float(targets.importance.sum())
    with threads() as pool:
        student = Student(MODEL, items, summands, popularity_of(WORLD), pool)
        batch = UserBatch(targets.of(users), pool)
        found, of_items, of_summands = student.gradients(batch, student.sample(rng))
    at = (items.astype(np.float64), summands.astype(np.float64))
    assert found / weight == pytest.approx(loss(lists, *at, users), rel=1e-5)
    gradients = (of_items, of_summands)
    for table, gradient in enumerate(gradients):
        for _ in range(5):
            direction, step = rng.standard_normal((40, 6)), 1e-4
            moves = [step * direction * (number == table) for number in range(2)]
            ahead, behind = (
                loss(lists, at[0] + sign * moves[0], at[1] + sign * moves[1], users)
                for sign in (1, -1)
            )
            slope = (gradient * direction).sum() / MODEL.temperature / weight
            assert slope == pytest.approx((ahead - behind) / (2 * step), rel=1e-3, abs=1e-6)


def test_a_sample_stands_for_the_items_that_it_is_not(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "N_SAMPLED", 10)
    rng, same = np.random.default_rng(0), np.ones((40, 6), dtype=np.float32)
    lists = lists_of(SVD(8).fit(WORLD), WORLD, 12)
    with threads() as pool:
        student = Student(MODEL, same, same, popularity_of(WORLD), pool)
        batch = UserBatch(targets_of(WORLD, lists, MODEL), pool)
        sample = student.sample(rng)
        found, of_items, _ = student.gradients(batch, sample)
    assert len(sample.rows) == 10
    n_known, n_seen = int((popularity_of(WORLD) > 0).sum()), np.diff(WORLD.indptr)
    expected = 0.6 * np.log(n_known) + 0.4 * np.log(n_known - n_seen)  # where all score alike
    importance = batch.targets.importance
    assert found == pytest.approx(importance @ expected, rel=1e-5)
    own = np.zeros(40, dtype=bool)
    own[batch.targets.own.indices] = own[sample.rows] = True
    assert not of_items[~own].any()


def test_lists_are_the_strongest_of_what_a_user_has_not_seen() -> None:
    teacher = SVD(8).fit(WORLD)
    found = lists_of(teacher, WORLD, 5)
    scores = teacher.scores(slice(None))
    for user, seen in enumerate(WORLD.toarray() > 0):
        unseen = np.flatnonzero(~seen).tolist()
        expected = sorted(unseen, key=lambda i: (-scores[user, i], i))[:5]
        assert found.item_idx[user].tolist() == expected
        assert found.largest[user] == np.abs(scores[user]).max()


@pytest.mark.parametrize("decay", [1.0, 0.7])
def test_few_coordinates_find_what_all_of_them_list(
    decay: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = np.random.default_rng(0)
    mixed = rng.standard_normal((12, 300)) * decay ** np.arange(12)[:, None]
    users, items = (rng.standard_normal((n, 12)) @ mixed for n in (50, 5000))
    items += 0.01 * rng.standard_normal(items.shape)
    teacher = Embeddings(users.astype(np.float32), items.astype(np.float32))
    seen = random_user_items(50, 5000, 0.02, seed=1)
    first = of_teacher.first_coordinates(teacher, np.arange(50), 20)
    assert first is not None
    assert first.factors < 100
    found = lists_of(teacher, seen, 20)
    monkeypatch.setattr(of_teacher, "_MANY_COORDINATES", 10_000)
    full = lists_of(teacher, seen, 20)
    assert np.mean(found.item_idx == full.item_idx) > 0.98
    np.testing.assert_allclose(found.scores[:, 0], full.scores[:, 0], rtol=1e-4)


def test_scores_that_need_many_coordinates_are_computed_whole() -> None:
    rng = np.random.default_rng(0)
    users, items = (rng.standard_normal((n, 256), dtype=np.float32) for n in (600, 5000))
    assert of_teacher.first_coordinates(Embeddings(users, items), np.arange(600), 20) is None


def test_few_epochs_have_more_batches() -> None:
    assert [batches_of(100_000, n) for n in (8, 40, 1000)] == [64, 16, 16]
    assert [batches_of(n, 8) for n in (1, 250, 1999)] == [1, 3, 31]  # of 64 users or more


def test_rows_at_length_1_have_it() -> None:
    table = np.random.default_rng(0).standard_normal((7, 5)).astype(np.float32)
    table[3] = 0
    units = np.full((7, 5), 9, dtype=np.float32)
    at_length_1(table, 1, 6, units)
    np.testing.assert_allclose(units[1:6], unit_rows(table)[1:6], rtol=1e-6)
    assert (units[[0, 6]] == 9).all()


def test_likelihoods_know_neither_the_scale_nor_the_shift_of_scores() -> None:
    scores = np.array([[4.0, 2.0, 1.0, -np.inf], [5.0, 5.0, 5.0, 5.0]], dtype=np.float32)
    rows = np.array([[3, 1, 2, -1], [0, 1, 2, 3]], dtype=np.int32)
    lists = TeacherLists(np.arange(2), rows, scores, np.array([4, 5], dtype=np.float32))
    found = likelihoods(lists, 3)
    np.testing.assert_allclose(found[0], [*likelihood_of([4, 2, 1]), 0], rtol=1e-5)
    np.testing.assert_allclose(found[1], [1 / 3, 1 / 3, 1 / 3, 0], rtol=1e-5)
    other = lists._replace(scores=10 * scores - 3)
    np.testing.assert_allclose(likelihoods(other, 3), found, rtol=1e-5)


def test_a_step_is_one_of_adam() -> None:
    rng = np.random.default_rng(0)
    table, mean, square = (np.zeros((5, 3), dtype=np.float32) for _ in range(3))
    x = m = v = np.zeros((5, 3))
    for number in range(1, 6):
        g = rng.standard_normal((5, 3)).astype(np.float32)
        take_step(table, g, mean, square, np.float32(0.1), number, 0, 5)
        m, v = 0.9 * m + 0.1 * g, 0.99 * v + 0.01 * g**2
        x = x - 0.1 * (m / (1 - 0.9**number)) / (np.sqrt(v / (1 - 0.99**number)) + 1e-5)
    np.testing.assert_allclose(table, x, rtol=1e-5)


def test_any_number_of_threads_gives_the_same_bits() -> None:
    world = random_user_items(1500, 60, 0.05, seed=3)
    model = Distilled(factors=4, teacher=SVD(factors=8), iterations=2)
    one, three = (model.fit(world, n_threads=n) for n in (1, 3))
    for name in ("users", "items", "summands"):
        np.testing.assert_array_equal(getattr(one, name), getattr(three, name))


def test_rows_are_unit_vectors() -> None:
    embeddings = Distilled(factors=5, teacher=SVD(factors=8), iterations=3).fit(WORLD)
    for rows in (embeddings.users, embeddings.items):
        np.testing.assert_allclose(np.linalg.norm(rows, axis=1), 1, rtol=1e-5)


def test_what_an_item_of_few_users_adds_shrinks() -> None:
    ones, n = np.ones((40, 6), dtype=np.float32), np.arange(40)
    found = MODEL._embeddings(WORLD, n, ones, ones)
    np.testing.assert_allclose(found.summands, (n / (n + 1))[:, None] * ones, rtol=1e-6)
    np.testing.assert_array_equal(found.items, (n > 0)[:, None] * ones)


def test_four_factors_rank_as_a_teacher_of_many_does() -> None:
    """Of 12 overlapping tastes, which 4 factors of an SVD cannot tell apart."""
    rng = np.random.default_rng(1)
    taste = np.abs(np.arange(240)[:, None] % 12 - np.arange(180) % 12)
    close = np.minimum(taste, 12 - taste) <= 1
    world = sp.csr_array((close & (rng.random(close.shape) < 0.3)).astype(np.float32))
    teacher = SVD(factors=12).fit(world)
    of_teacher = lists_of(teacher, world, 20).item_idx
    student = Distilled(factors=4, teacher=teacher).fit(world)
    of_student, of_svd = (lists_of(one, world, 20).item_idx for one in (student, SVD(4).fit(world)))

    def shared(lists: np.ndarray) -> float:
        both = zip(lists, of_teacher, strict=True)
        return float(np.mean([len(np.intersect1d(*pair)) / 20 for pair in both]))

    assert shared(of_student) > 0.8 > shared(of_svd)
    hits = close[np.arange(240)[:, None], of_student].mean()
    assert hits > 0.95


def test_a_sample_of_the_users_trains_the_items_where_all_would_take_too_long(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    train, test = split_random(tastes(), test_fraction=0.2, seed=0)
    user_items = train.user_items()
    model = Distilled(8, teacher=KNN(20), iterations=10)
    of_user = 2 * 64 * user_items.shape[1] + 10 * 6 * 8 * user_items.shape[1]
    n_sampled = user_items.shape[0] // 4
    monkeypatch.setattr(of_model, "MOST_WORK", of_user * n_sampled)
    listed: list[int] = []

    def counted(
        scorer: Scorer, matrix: sp.csr_array, users: np.ndarray, length: int, pool: Threads
    ) -> TeacherLists:
        listed.extend(users)
        return strongest_unseen(scorer, matrix, users, length, pool)

    monkeypatch.setattr(of_model, "strongest_unseen", counted)
    student = model.fit(user_items)
    assert len(set(listed)) == n_sampled
    assert student.users.any(axis=1).all()
    teacher = evaluate(model.teacher.fit(user_items), train, test, k=10)  # type: ignore[union-attr, arg-type]
    reached = evaluate(student, train, test, k=10)
    others = ~np.isin(reached.user_idx, listed)
    per_user = reached.per_user["ndcg@10"][others].mean()
    assert per_user > 0.85 * teacher.per_user["ndcg@10"][others].mean()


def test_a_start_is_where_training_begins() -> None:
    losses: list[list[float]] = [[], []]
    model = replace(MODEL, teacher=SVD(factors=8))
    first = model.fit(WORLD, on_epoch=lambda epoch: losses[0].append(epoch.loss))
    model.fit(WORLD, start=first, on_epoch=lambda epoch: losses[1].append(epoch.loss))
    assert losses[1][0] < losses[0][5]
    with pytest.raises(DataError, match=r"expected a start of .*\(60, 40, 6\), got \(60, 40, 5\)"):
        model.fit(WORLD, start=Distilled(factors=5, teacher=first, iterations=1).fit(WORLD))
    with pytest.raises(DataError, match="expected summands"):
        model.fit(WORLD, start=Embeddings(first.users, first.items))


def test_given_embeddings_teach_and_a_config_has_their_name() -> None:
    given = Distilled(factors=4, teacher=SVD(8).fit(WORLD), iterations=2)
    named = Distilled(factors=4, teacher=SVD(8), iterations=2)
    expected = named.fit(WORLD).items  # whose teacher has weights in units of their mean
    np.testing.assert_allclose(given.fit(WORLD).items, expected, rtol=1e-4)
    parameters = parameters_of(given)
    assert parameters["teacher"] == {"name": "given"}
    again = model_from("distilled", parameters)
    assert again == given
    with pytest.raises(ConfigError, match="expected a model, got the name of embeddings"):
        again.fit(WORLD)
    with pytest.raises(DataError, match=r"\(59, 40\), got \(60, 40\)"):
        given.fit(WORLD[:59])


def test_a_config_names_the_teacher() -> None:
    teacher = {"name": "blend", "scale": "deviation", "svd": {"factors": 9}}
    model = model_from("distilled", {"factors": 4, "teacher": teacher})
    assert model == Distilled(factors=4, teacher=Blend(svd=SVD(9), scale="deviation"))
    assert model_from("distilled", parameters_of(model)) == model
    with pytest.raises(ConfigError, match=r"distilled.teacher.name: expected one of .*als"):
        model_from("distilled", {"teacher": {"name": "elephant"}})
    with pytest.raises(ConfigError, match=r"distilled.teacher: expected a model, got 'als'"):
        model_from("distilled", {"teacher": "als"})


@pytest.mark.parametrize(
    ("name", "value"), [("temperature", 0.01), ("teacher_share", 1.1), ("list_length", 0)]
)
def test_hyperparameters_out_of_range(name: str, value: float) -> None:
    with pytest.raises(ConfigError, match=f"distilled.{name}"):
        model_from("distilled", {name: value})


def test_a_teacher_is_as_large_as_the_log_allows() -> None:
    small, large = (teacher_for(random_user_items(n, n, 20 / n)) for n in (100, 30_000))
    assert (small.als.factors, small.svd.factors) == (16, 16)
    assert (large.als.factors, large.svd.factors) == (512, 1280)
    assert (small.als.unobserved_weight, large.als.unobserved_weight) == (0.2, 0.01)


def test_a_blend_by_deviation_gives_both_the_same_say() -> None:
    world = random_user_items(60, 50, 0.2, seed=4)
    model = Blend(ALS(factors=4), SVD(factors=3), svd_share=0.25, scale="deviation")
    blend = model.fit(world)
    for part, share in ((slice(0, 4), 0.75), (slice(4, 7), 0.25)):
        scores = blend.users[:, part] @ blend.items[:, part].T
        np.testing.assert_allclose(scores.std(axis=1), share, rtol=1e-3)
    assert not np.isnan(Popularity().fit(world).items).any()
    assert top_k(blend.scores(slice(None)), 3)[0].shape == (60, 3)


def test_a_sample_of_as_many_users_as_are_asked_for_trains_the_items() -> None:
    user_items = tastes().user_items()
    n_users = user_items.shape[0]
    model = Distilled(8, teacher=SVD(16), iterations=3)
    whole = model.fit(user_items)
    same = replace(model, most_users=n_users).fit(user_items)
    np.testing.assert_array_equal(whole.items, same.items)
    sampled = replace(model, most_users=n_users // 2).fit(user_items)
    assert (sampled.items != whole.items).any()
    assert sampled.users.any(axis=1).all()
    rows = np.sort(np.random.default_rng(0).choice(n_users, n_users // 2, replace=False))
    np.testing.assert_array_equal(model.fit(user_items, learning=rows).items, sampled.items)


@pytest.mark.parametrize("wrong", [0, -1, 1.5, "many"])
def test_most_users_is_a_whole_number_from_1(wrong: Any) -> None:
    with pytest.raises(ConfigError, match=r"distilled\.most_users: expected"):
        Distilled(most_users=wrong)
