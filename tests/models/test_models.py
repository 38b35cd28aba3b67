"""One conformance suite over all models, in worlds whose answers are known."""

from dataclasses import replace

import numpy as np
import pandas as pd
import pyarrow as pa
import pytest
import scipy.sparse as sp

from recsys.errors import ConfigError, DataError
from recsys.models import (
    ALS,
    SVD,
    Blend,
    Distilled,
    Epoch,
    Item2Vec,
    Model,
    Popularity,
    Softmax,
    flat,
    model_from,
    parameters_of,
    popularity_of,
)
from recsys.models.ease import EASE
from recsys.models.neighbors import KNN
from recsys.models.protocol import mean_weight_of, normalized
from recsys.models.requirements import takes_dislikes
from recsys.vectors import Embeddings, FloatMatrix, top_k
from tests.worlds import as_interactions, checkerboard, random_user_items

MODELS = [
    ALS(factors=8, regularization=0.5, iterations=30, seed=3),
    SVD(factors=8, seed=3),
    SVD.pure(8, spectral_power=1.0, seed=3),
    SVD(factors=8, centered=True, popularity_exponent=-0.1, seed=3),
    Item2Vec(factors=8, seed=3),
    Softmax(factors=8, seed=3),
    Distilled(factors=8, teacher=SVD(factors=16), iterations=12, seed=3),
    Blend(ALS(factors=5, regularization=0.5, iterations=30), SVD(factors=3), svd_share=0.4),
    Blend(ALS(factors=5, regularization=0.5), SVD(factors=3), scale="deviation"),
    Popularity(),
]
PERSONAL = MODELS[:-1]


def named(model: Model) -> str:
    return repr(model)


def with_factors(model: Model, factors: int) -> Model:
    """The model with so many factors; a blend with so many of each half."""
    if isinstance(model, Blend):
        als, svd = model.als.with_factors(factors), model.svd.with_factors(factors)
        return replace(model, als=als, svd=svd)
    return model.with_factors(factors)


def unseen_scores(model: Model, user_items: sp.csr_array) -> np.ndarray:
    embeddings = model.fit(user_items)
    scores = embeddings.scores(slice(None))
    scores[user_items.toarray() > 0] = -np.inf
    return scores


@pytest.mark.parametrize("model", PERSONAL, ids=named)
@pytest.mark.parametrize("n", [20, 51])
def test_checkerboard_the_held_out_diagonal_is_found(model: Model, n: int) -> None:
    two = with_factors(model, 2)
    best, _ = top_k(unseen_scores(two, checkerboard(n)), k=1)
    assert best[:, 0].tolist() == list(range(n))


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_shapes_dtypes_and_finite(model: Model) -> None:
    user_items = random_user_items(30, 20, 0.2)
    embeddings = model.fit(user_items)
    d = model.factors
    assert embeddings.users.shape == (30, d)
    assert embeddings.items.shape == (20, d)
    assert embeddings.users.dtype == embeddings.items.dtype == np.float32
    assert embeddings.items.flags.c_contiguous


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_empty_rows_and_columns_score_zero(model: Model) -> None:
    dense = random_user_items(12, 10, 0.5).toarray()
    dense[3] = 0
    dense[:, 4] = 0
    embeddings = model.fit(sp.csr_array(dense))
    assert np.all(embeddings.items[4] == 0)
    if model.name != "popularity":  # which is the same for everybody
        assert np.all(embeddings.users[3] == 0)


@pytest.mark.parametrize("model", MODELS, ids=named)
@pytest.mark.parametrize("shape", [(1, 7), (7, 1), (1, 1), (3, 5)])
def test_tiny_worlds_with_more_factors_than_users_or_items(
    model: Model, shape: tuple[int, int]
) -> None:
    user_items = sp.csr_array(np.ones(shape, dtype=np.float32))
    scores = model.fit(user_items).scores(slice(None))
    assert scores.shape == shape
    if model.name == "item2vec" and shape[1] == 1:  # learns from items that users share
        assert np.all(scores == 0)
    else:
        assert np.all(scores > 0)


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_the_same_seed_gives_the_same_embeddings(model: Model) -> None:
    user_items = random_user_items(40, 30, 0.2)
    first, second = model.fit(user_items), model.fit(user_items)
    np.testing.assert_array_equal(first.users, second.users)
    np.testing.assert_array_equal(first.items, second.items)


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_permuted_items_give_permuted_scores(model: Model) -> None:
    # Tastes with a clear answer: a random matrix would leave ALS with several optima.
    user_items = sp.csr_array(np.kron(np.eye(4), np.ones((6, 5))).astype(np.float32))
    order = np.random.default_rng(0).permutation(20)
    model = with_factors(model, 4)
    if isinstance(model, Blend):
        model = replace(model, als=replace(model.als, iterations=100))
    if isinstance(model, ALS):  # equal tastes converge slowly
        model = replace(model, iterations=100)
    if isinstance(
        model, Softmax | Distilled
    ):  # and tastes hardly push one another where it is cold
        model = replace(model, iterations=300, temperature=0.5)
    scores = model.fit(user_items).scores(slice(None))
    permuted = model.fit(sp.csr_array(user_items[:, order])).scores(slice(None))
    np.testing.assert_allclose(permuted, scores[:, order], atol=2e-3 * np.abs(scores).max())


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_folding_in_a_training_history_gives_the_stored_row(model: Model) -> None:
    user_items = random_user_items(40, 30, 0.2)
    embeddings = model.fit(user_items)
    mean = mean_weight_of(user_items)
    fold_in = model.fold_in(embeddings.items, popularity_of(user_items), mean, embeddings.summands)
    np.testing.assert_allclose(
        fold_in(user_items[5:15]), embeddings.users[5:15], rtol=1e-4, atol=1e-5
    )


def rotated(model: Model, embeddings: Embeddings) -> Embeddings:
    """What an alignment makes of embeddings: a random rotation where the model allows one."""
    rotation = np.eye(embeddings.factors)
    rng = np.random.default_rng(0)
    for run in model.rotatable:
        width = run.stop - run.start
        rotation[run, run] = np.linalg.qr(rng.standard_normal((width, width)))[0]
    users, items = (
        (matrix @ rotation).astype(np.float32) for matrix in (embeddings.users, embeddings.items)
    )
    summands = embeddings.summands
    if summands is not None:
        summands = (summands @ rotation).astype(np.float32)
    return Embeddings(users, items, summands)


def with_other_last_bits(vectors: FloatMatrix, seed: int) -> FloatMatrix:
    """Return vectors of which each number is the next larger or smaller one."""
    to = np.where(np.random.default_rng(seed).random(vectors.shape) < 0.5, np.inf, -np.inf)
    return np.nextafter(vectors, to.astype(np.float32))


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_rotated_items_fold_in_to_rotated_users(model: Model) -> None:
    user_items = random_user_items(40, 30, 0.2)
    aligned, popularity = rotated(model, model.fit(user_items)), popularity_of(user_items)
    mean = mean_weight_of(user_items)

    def folded(items: FloatMatrix) -> FloatMatrix:
        return model.fold_in(items, popularity, mean, aligned.summands)(user_items)

    found, scale = folded(aligned.items), np.abs(aligned.users).max()
    # A rotation rounds items. Steps from a start to where a user rests may carry that far, for a
    # user or two: as far as the last bit of the items moves them.
    nudged = [folded(with_other_last_bits(aligned.items, seed)) for seed in range(4)]
    carried = np.max([np.abs(one - found).max(axis=1) for one in nudged], axis=0)  # (n_users,)
    allowed = 1e-4 * np.abs(aligned.users) + (1e-5 * scale + 4 * carried[:, None])
    assert (np.abs(found - aligned.users) <= allowed).all()
    assert np.median(carried) < 1e-5 * scale


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_rotated_items_explain_scores_alike(model: Model) -> None:
    user_items = random_user_items(60, 40, 0.2, seed=5)
    embeddings, popularity = model.fit(user_items), popularity_of(user_items)
    aligned = rotated(model, embeddings)
    before, after = (
        model.contributions(found.items, popularity, summands=found.summands)
        for found in (embeddings, aligned)
    )
    for row, item in ((0, 3), (7, 11), (31, 0)):
        parts = before(user_items[[row]], item)
        np.testing.assert_allclose(
            after(user_items[[row]], item),
            parts,
            rtol=1e-3,
            atol=1e-4 * max(np.abs(parts).max(), 1),
        )


def planted(seed: int = 0) -> sp.csr_array:
    """200 users and items in 4 groups: a pair within a group is likely, and weighs more."""
    rng = np.random.default_rng(seed)
    own = np.arange(200)[:, None] % 4 == np.arange(200) % 4
    pairs = rng.random(own.shape) < np.where(own, 0.4, 0.01)
    return sp.csr_array((pairs * np.where(own, 2.0, 1.0)).astype(np.float32))


@pytest.mark.parametrize("model", PERSONAL, ids=named)
@pytest.mark.parametrize("unit", [1e-6, 0.02, 7.0, 1e5])
def test_the_unit_of_the_weights_does_not_count(model: Model, unit: float) -> None:
    user_items = planted()
    found = model.fit(sp.csr_array(user_items * np.float32(unit))).scores(slice(None))
    expected = model.fit(user_items).scores(slice(None))
    best, _ = top_k(found, k=10)
    assert (best % 4 == np.arange(200)[:, None] % 4).mean() > 0.8  # .25 at random
    if model.name == "svd":  # whose scores are in the unit of the weights
        found, expected = (scores / np.abs(scores).max() for scores in (found, expected))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("model", MODELS, ids=named)
@pytest.mark.parametrize("unit", [1e-6, 0.02, 30.0])
def test_a_training_history_in_any_unit_folds_in_to_the_stored_row(
    model: Model, unit: float
) -> None:
    user_items = sp.csr_array(random_user_items(40, 30, 0.2) * np.float32(unit))
    embeddings, mean = model.fit(user_items), mean_weight_of(user_items)
    popularity = popularity_of(user_items)
    items, summands = embeddings.items, embeddings.summands
    users = model.fold_in(items, popularity, mean, summands)(user_items[5:15])
    scale = np.abs(embeddings.users).max()
    np.testing.assert_allclose(users, embeddings.users[5:15], rtol=1e-4, atol=1e-5 * scale)
    parts = model.contributions(items, popularity, mean, summands)(user_items[[7]], 11)
    if model.name != "popularity" and not getattr(model, "centered", False):
        score = float(embeddings.users[7] @ embeddings.items[11])
        assert parts.sum() == pytest.approx(score, rel=1e-3, abs=1e-4 * float(scale))


def test_weights_whose_mean_is_one_are_fitted_as_they_are() -> None:
    user_items = random_user_items(40, 30, 0.2, max_weight=1)
    user_items.data[::2], user_items.data[1::2] = 0.5, 1.5
    user_items.data[-1] = 1.0 if user_items.nnz % 2 else user_items.data[-1]
    assert mean_weight_of(user_items) == 1
    assert normalized(user_items).data.tolist() == user_items.data.tolist()
    rounded = sp.csr_array(user_items / np.float32(3))
    rounded = normalized(rounded)
    np.testing.assert_array_equal(normalized(rounded).data, rounded.data)  # and not twice


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_a_log_is_fitted_as_its_matrix_is(model: Model) -> None:
    log = as_interactions(random_user_items(30, 20, 0.3))
    found, expected = model.fit(log), model.fit(log.user_items())
    np.testing.assert_array_equal(found.users, expected.users)
    np.testing.assert_array_equal(found.items, expected.items)


@pytest.mark.parametrize("model", MODELS, ids=named)
@pytest.mark.parametrize(
    "table",
    [
        pd.DataFrame({"user_id": [1, 1, 2], "item_id": [1, 2, 2]}),
        pa.table({"user_id": [1, 1, 2], "item_id": [1, 2, 2]}),
        [[1.0, 0.0], [0.0, 1.0]],
        np.array([["u1", "i1"]]),
        np.array([[7, 1], [7, 2], [9, 2]]),
        "log.csv",
        None,
    ],
    ids=["pandas", "arrow", "list", "text", "ids", "path", "None"],
)
def test_a_table_of_events_is_no_matrix(model: Model, table: object) -> None:
    with pytest.raises(DataError, match=r"expected Interactions, or a sparse matrix.*read_log"):
        model.fit(table)


@pytest.mark.parametrize("model", PERSONAL, ids=named)
def test_what_is_rotatable_covers_every_coordinate_but_that_of_a_mean(model: Model) -> None:
    covered = [place for run in model.rotatable for place in range(run.start, run.stop)]
    fixed = 1 if getattr(model, "centered", False) else 0
    assert covered == list(range(model.factors - fixed))


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_the_input_is_left_as_it_was(model: Model) -> None:
    user_items = random_user_items(20, 15, 0.3)
    before = user_items.toarray()
    model.fit(user_items)
    np.testing.assert_array_equal(user_items.toarray(), before)


def test_columns_of_64_bits_are_fitted_as_those_of_32() -> None:
    """For which alone the solvers are compiled."""
    matrix = random_user_items(20, 15, 0.3)
    wide = sp.csr_array(matrix)
    wide.indices, wide.indptr = wide.indices.astype(np.int64), wide.indptr.astype(np.int64)
    found, expected = normalized(wide), normalized(matrix)
    assert found.indices.dtype == found.indptr.dtype == np.int32
    assert wide.indices.dtype == np.int64
    for part in ("data", "indices", "indptr"):
        np.testing.assert_array_equal(getattr(found, part), getattr(expected, part))


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_a_stored_zero_is_no_interaction(model: Model) -> None:
    user_items = random_user_items(20, 15, 0.3)
    with_zero = sp.csr_array(user_items, copy=True)
    with_zero.data[::4] = 0
    without = sp.csr_array(with_zero, copy=True)
    without.eliminate_zeros()
    np.testing.assert_array_equal(model.fit(with_zero).items, model.fit(without).items)


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_epochs_are_reported_up_to_the_last(model: Model) -> None:
    epochs: list[Epoch] = []
    found = model.fit(random_user_items(20, 15, 0.3), on_epoch=epochs.append)
    n_epochs = model.als.iterations if isinstance(model, Blend) else getattr(model, "iterations", 1)
    steps = [(epoch.number, epoch.n_epochs) for epoch in epochs]
    assert steps == [(number, n_epochs) for number in range(1, n_epochs + 1)]
    assert all(np.isnan(epoch.loss) == (n_epochs == 1) for epoch in epochs)
    last = epochs[-1].embeddings()
    assert last.users.shape == found.users.shape
    np.testing.assert_array_equal(last.items.shape, found.items.shape)


@pytest.mark.parametrize("model", MODELS, ids=named)
@pytest.mark.parametrize(
    ("matrix", "message"),
    [
        (np.zeros((0, 3)), "at least one user"),
        (np.array([[1.0, -1.0]]), "1 others of 2"),
        (np.array([[1.0, np.nan]]), "finite"),
        (np.array([[1.0, np.inf]]), "finite"),
    ],
)
def test_a_matrix_that_cannot_be_used(model: Model, matrix: np.ndarray, message: str) -> None:
    if takes_dislikes(model) and matrix.min(initial=0) < 0:
        return  # a dislike
    with pytest.raises(DataError, match=message):
        model.fit(sp.csr_array(matrix.astype(np.float32)))


@pytest.mark.parametrize(
    ("name", "parameters", "message"),
    [
        ("als", {"factors": 0}, "als.factors: expected 1 or more, got 0"),
        ("als", {"regularization": 0.0}, "als.regularization: expected a finite number above 0"),
        ("als", {"unobserved_weight": float("nan")}, "als.unobserved_weight"),
        ("als", {"facters": 3}, "did you mean 'factors'"),
        ("svd", {"item_exponent": -1}, "svd.item_exponent"),
        ("svm", {}, "expected one of als, svd, item2vec, softmax, distilled, blend, popularity"),
    ],
)
def test_hyperparameters_out_of_range(
    name: str, parameters: dict[str, float], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        model_from(name, parameters)


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_name_and_parameters_make_the_same_model(model: Model) -> None:
    assert model_from(model.name, parameters_of(model)) == model


@pytest.mark.parametrize("model", PERSONAL, ids=named)
def test_factors_and_seed_can_be_chosen_and_nothing_else_changes(model: Model) -> None:
    assert model.with_factors(16).factors == 16
    assert model.with_factors(16).with_factors(model.factors).factors == model.factors
    seeded = model.with_seed(7)
    assert seeded != model
    names = {
        key
        for key, value in flat(parameters_of(seeded)).items()
        if value != flat(parameters_of(model))[key]
    }
    assert {name.rpartition(".")[2] for name in names} == {"seed"}


def test_popularity_has_one_factor_and_no_seed() -> None:
    model = Popularity()
    assert model.with_factors(16) is model.with_seed(7) is model
    assert model.factors == model.fit(random_user_items(20, 15, 0.3)).factors == 1


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_a_fit_begins_at_a_start_or_refuses_it(model: Model) -> None:
    user_items = random_user_items(20, 15, 0.3)
    start = model.fit(user_items)
    if model.can_warm_start:
        assert model.fit(user_items, start=start).items.shape == start.items.shape
    else:
        with pytest.raises(ConfigError, match=f"{model.name}: expected no start"):
            model.fit(user_items, start=start)


@pytest.mark.parametrize("model", MODELS, ids=named)
def test_contributions_of_a_history_sum_to_the_score(model: Model) -> None:
    user_items = random_user_items(60, 40, 0.2, seed=5)
    embeddings, popularity = model.fit(user_items), popularity_of(user_items)
    mean = mean_weight_of(user_items)
    embed = model.fold_in(embeddings.items, popularity, mean, embeddings.summands)
    parts_of = model.contributions(embeddings.items, popularity, mean, embeddings.summands)
    for row, item in ((0, 3), (7, 11), (31, 0)):
        history = user_items[[row]]
        parts = parts_of(history, item)
        assert parts.shape == (history.nnz,)
        user, vector = embed(history)[0], embeddings.items[item]
        score = float(user @ vector)
        if model.name == "popularity":
            assert not parts.any()
        elif getattr(model, "centered", False):  # the mean is nobody's part
            assert parts.sum() == pytest.approx(float(user[:-1] @ vector[:-1]), rel=1e-3, abs=1e-5)
        else:
            assert parts.sum() == pytest.approx(score, rel=1e-3, abs=1e-4)
            assert parts.any()


@pytest.mark.parametrize("model", [*MODELS, EASE(), KNN()], ids=named)
def test_a_fit_takes_a_device_and_one_without_als_refuses_a_card(model: Model) -> None:
    user_items = random_user_items(30, 20, 0.2)
    model.fit(user_items, device="auto")
    if not isinstance(model, ALS | Blend | Softmax | Distilled):
        with pytest.raises(ConfigError, match=f'^{model.name}: expected device "cpu" or "auto"'):
            model.fit(user_items, device="cuda")
