"""Indexes of the peers as one kind of thing: a query in, its best items out.

A builder takes a world and a folder of its own, and builds with as many threads as the world says;
answers take one. Those that cannot filter are asked for as many more items as the user has seen,
and under a condition for as many as its share needs, then for four times as many until the list is
full; the others are dropped through a table of booleans. All of that counts. faiss takes longer to
leave out what a user has seen by itself, so that is dropped too, but conditions are given to it as
a bitmap, and to hnswlib as a function. implicit filters, and is given each user's row ready-made.
The Python interface of usearch has no filter.
"""

import math
from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import Any, NamedTuple

import numpy as np
import scipy.sparse as sp
from numpy.typing import NDArray
from threadpoolctl import threadpool_limits

from benchmarks.index_worlds import Query, World
from recsys.index import LONG
from recsys.vectors import FloatMatrix, FloatVector, top_k

CONNECTIVITY, EXPANSION = 32, 200  # M and efConstruction of every graph
TREES = 20
N_WARM = 50
Rows = NDArray[np.integer]


Ask = Callable[[Query, int, int], Rows]  # query, k, value of the setting
Find = Callable[[FloatVector, int, int], Rows]  # the same, without a filter


class Built(NamedTuple):
    """An index: what answers, what writes it to a file, and what it chose for itself."""

    ask: Ask
    save: Callable[[str], object] | None = None
    note: str = ""
    reads_items: bool = False  # the array of the world, and so has no copy of its own


class Contender(NamedTuple):
    """An index to measure: module, builder, and the setting that is a curve."""

    module: str
    build: Callable[[World, Path], Built]
    setting: str = ""
    values: tuple[int, ...] = (0,)


def timed(ask: Ask, queries: list[Query], k: int, value: int) -> tuple[list[Rows], list[float]]:
    """Return the list of every query and its seconds, by one thread, after some to warm up."""
    lists, seconds = [], []
    with threadpool_limits(1):
        for query in queries[:N_WARM]:
            ask(query, k, value)
        for query in queries:
            start = perf_counter()
            lists.append(ask(query, k, value))
            seconds.append(perf_counter() - start)
    return lists, seconds


def numpy_exact(world: World, _folder: Path) -> Built:
    """Score every item by NumPy."""

    def ask(query: Query, k: int, _value: int) -> Rows:
        scores = world.items @ query.user
        scores[query.seen] = -np.inf
        if query.filter is not None:
            scores[query.filter.barred] = -np.inf
        rows: Rows = top_k(scores[None, :], k)[0][0]
        return rows

    return Built(ask, reads_items=True)


def annoy_dot(world: World, _folder: Path) -> Built:
    """Build Annoy's own index of dot products."""
    return _annoy(world, world.items, "dot", lambda user: user.tolist())


def annoy_angular(world: World, _folder: Path) -> Built:
    """Build Annoy's index of angles, with a coordinate that gives all items one norm."""
    squares = np.einsum("if,if->i", world.items, world.items, dtype=np.float64)
    missing = np.sqrt(squares.max() - squares).astype(np.float32)
    vectors = np.column_stack((world.items, missing))
    return _annoy(world, vectors, "angular", lambda user: [*user.tolist(), 0.0])


def _annoy(
    world: World, vectors: FloatMatrix, metric: str, spelled: Callable[[FloatVector], list[float]]
) -> Built:
    index: Any = import_module("annoy").AnnoyIndex(vectors.shape[1], metric)
    index.set_seed(1)
    for row, vector in enumerate(vectors):
        index.add_item(row, vector.tolist())
    index.build(TREES, n_jobs=world.n_threads)

    def find(user: FloatVector, k: int, search_k: int) -> Rows:
        found = index.get_nns_by_vector(spelled(user), k, max(search_k, k))
        return np.array(found, dtype=np.int64)

    return Built(_filtered(find, len(vectors)), index.save)  # which maps it, as Annoy is meant


def implicit_exact(world: World, _folder: Path) -> Built:
    """Give the embeddings to implicit, which scores every item."""
    return Built(_implicit_ask(_implicit_model(world)), reads_items=True)


def implicit_annoy(world: World, _folder: Path) -> Built:
    """Build implicit's own index: 50 trees of angles, with the extra coordinate."""
    model = import_module("implicit.ann.annoy").AnnoyModel(
        _implicit_model(world), approximate_similar_items=False
    )
    shape = (len(world.asked), len(world.items))
    model.fit(sp.csr_matrix(shape, dtype=np.float32), show_progress=False)  # in no iterations
    recommend = _implicit_ask(model, as_list=True)  # it takes no array for its barred items

    def ask(query: Query, k: int, search_k: int) -> Rows:
        model.search_k = search_k
        return recommend(query, k, search_k)

    return Built(ask, model.recommend_index.save)


def _implicit_model(world: World) -> Any:
    peer = import_module("implicit.cpu.als").AlternatingLeastSquares
    model = peer(world.items.shape[1], iterations=0, num_threads=1)
    model.user_factors, model.item_factors = world.asked.users, world.items
    return model


def _implicit_ask(model: Any, *, as_list: bool = False) -> Ask:
    def ask(query: Query, k: int, _value: int) -> Rows:
        barred: Any = None
        if query.filter is not None:
            barred = query.filter.listed if as_list else query.filter.barred
        rows: Rows = model.recommend(
            query.number, query.liked, N=k, filter_already_liked_items=True, filter_items=barred
        )[0]
        return rows

    return ask


def faiss_flat(world: World, _folder: Path) -> Built:
    """Build the exact index of faiss."""
    index = import_module("faiss").IndexFlatIP(world.items.shape[1])
    return _faiss(world, index, lambda _value: {})


def faiss_lists(world: World, _folder: Path) -> Built:
    """Build inverted lists of faiss."""
    faiss: Any = import_module("faiss")
    n_items, factors = world.items.shape
    coarse = faiss.IndexFlatIP(factors)
    n_lists = round(4 * n_items**0.5)
    index = faiss.IndexIVFFlat(coarse, factors, n_lists, faiss.METRIC_INNER_PRODUCT)
    faiss.omp_set_num_threads(world.n_threads)
    index.train(world.items)
    return _faiss(world, index, lambda value: {"nprobe": value})


def faiss_graph(world: World, _folder: Path) -> Built:
    """Build a graph of faiss."""
    faiss: Any = import_module("faiss")
    index = faiss.IndexHNSWFlat(world.items.shape[1], CONNECTIVITY, faiss.METRIC_INNER_PRODUCT)
    index.hnsw.efConstruction = EXPANSION
    return _faiss(world, index, lambda value: {"efSearch": value})


def _faiss(world: World, index: Any, parameters: Callable[[int], dict[str, int]]) -> Built:
    faiss: Any = import_module("faiss")
    faiss.omp_set_num_threads(world.n_threads)
    index.add(world.items)
    faiss.omp_set_num_threads(1)
    kinds = {
        "IndexIVFFlat": faiss.SearchParametersIVF,
        "IndexHNSWFlat": faiss.SearchParametersHNSW,
    }
    kind = kinds.get(type(index).__name__, faiss.SearchParameters)

    def search(user: FloatVector, k: int, **chosen: Any) -> Rows:
        rows: Rows = index.search(user[None, :], k, params=kind(**chosen))[1][0]
        return rows

    drop = _filtered(lambda user, k, value: search(user, k, **parameters(value)), len(world.items))

    def ask(query: Query, k: int, value: int) -> Rows:
        if query.filter is None:
            return drop(query, k, value)
        is_kept = query.filter.is_allowed.copy()
        is_kept[query.seen] = False
        selector = faiss.IDSelectorBitmap(np.packbits(is_kept, bitorder="little"))
        rows = search(query.user, k, sel=selector, **parameters(value))
        return rows[rows >= 0]

    return Built(ask, partial(faiss.write_index, index))


def voyager_graph(world: World, _folder: Path, *, largest_first: bool = False) -> Built:
    """Build a graph of voyager.

    It appends a coordinate that gives an item the norm of the largest that was added so far: so it
    finds much more if the largest are added first.
    """
    voyager: Any = import_module("voyager")
    n_items, factors = world.items.shape
    order = np.arange(n_items)
    if largest_first:
        order = np.argsort(-np.linalg.norm(world.items, axis=1))
    space = voyager.Space.InnerProduct
    index = voyager.Index(space, factors, CONNECTIVITY, EXPANSION, max_elements=n_items)
    index.add_items(world.items[order], order.tolist(), num_threads=world.n_threads)

    def find(user: FloatVector, k: int, value: int) -> Rows:
        rows: Rows = index.query(user, k, num_threads=1, query_ef=max(value, k))[0]
        return rows

    return Built(_filtered(find, n_items, voyager.RecallError), index.save)


def usearch_graph(world: World, _folder: Path) -> Built:
    """Build a graph of usearch."""
    n_items, factors = world.items.shape
    index = import_module("usearch.index").Index(
        ndim=factors, metric="ip", dtype="f32", connectivity=CONNECTIVITY, expansion_add=EXPANSION
    )
    index.add(np.arange(n_items), world.items, threads=world.n_threads)

    def find(user: FloatVector, k: int, value: int) -> Rows:
        index.expansion_search = max(value, k)
        rows: Rows = index.search(user, k, threads=1).keys
        return rows

    return Built(_filtered(find, n_items), index.save)


def hnswlib_graph(world: World, _folder: Path) -> Built:
    """Build a graph of hnswlib."""
    n_items, factors = world.items.shape
    index = import_module("hnswlib").Index("ip", factors)
    index.init_index(n_items, M=CONNECTIVITY, ef_construction=EXPANSION, random_seed=0)
    index.add_items(world.items, num_threads=world.n_threads)

    def find(user: FloatVector, k: int, value: int) -> Rows:
        index.set_ef(max(value, k))
        rows: Rows = index.knn_query(user, k, num_threads=1)[0][0]
        return rows

    drop = _filtered(find, n_items, RuntimeError)

    def ask(query: Query, k: int, value: int) -> Rows:
        if query.filter is None:
            return drop(query, k, value)
        is_kept = query.filter.is_allowed.copy()
        is_kept[query.seen] = False
        index.set_ef(max(value, k))
        keep = is_kept.tolist().__getitem__
        try:
            rows: Rows = index.knn_query(query.user, k, num_threads=1, filter=keep)[0][0]
        except RuntimeError:  # it reached fewer than k
            return np.empty(0, dtype=np.int64)
        return rows

    return Built(ask, index.save_index)


def scann_tree(world: World, _folder: Path) -> Built:
    """Build a tree of ScaNN over quantized items, with exact scores of the best of them."""
    scann: Any = import_module("scann.scann_ops.py.scann_ops_pybind")
    n_items = len(world.items)
    n_leaves = round(2 * n_items**0.5)
    index = (
        scann.builder(world.items, LONG, "dot_product")
        .tree(n_leaves, n_leaves // 4, training_sample_size=min(n_items, 250_000))
        .score_ah(2, anisotropic_quantization_threshold=0.2)
        .reorder(10 * LONG)
        .set_n_training_threads(world.n_threads)
        .build()
    )
    index.set_num_threads(1)

    def find(user: FloatVector, k: int, leaves: int) -> Rows:
        rows: Rows = index.search(user, k, max(10 * LONG, k), leaves)[0]
        return rows.astype(np.int64)

    def save(path: str) -> None:
        Path(path).mkdir()
        index.serialize(path)

    return Built(_filtered(find, n_items), save)


def svs_graph(world: World, _folder: Path) -> Built:
    """Build a Vamana graph of Intel's SVS."""
    svs: Any = import_module("svs")
    parameters = svs.VamanaBuildParameters(
        alpha=0.95, graph_max_degree=2 * CONNECTIVITY, window_size=EXPANSION
    )
    index = svs.Vamana.build(parameters, world.items, svs.DistanceType.MIP, world.n_threads)
    index.num_threads = 1

    def find(user: FloatVector, k: int, value: int) -> Rows:
        index.search_window_size = max(value, k)
        rows: Rows = index.search(user[None, :], k)[0][0]
        return rows.astype(np.int64)

    def save(path: str) -> None:
        index.save(f"{path}-config", f"{path}-graph", f"{path}-data")

    return Built(_filtered(find, len(world.items)), save)


def _filtered(find: Find, n_items: int, too_few: type[Exception] | tuple[()] = ()) -> Ask:
    """Ask for as many more items as will be dropped, and drop those.

    Graphs from which so many cannot be reached raise `too_few`: then half as many are asked for.
    """
    is_dropped = np.zeros(n_items + 1, dtype=np.bool_)
    is_dropped[-1] = True  # which is where -1 points, what some give behind the end of their lists

    def found(query: Query, n_asked: int, value: int) -> Rows:
        while True:
            try:
                return find(query.user, n_asked, value)
            except too_few:
                n_asked //= 2

    def ask(query: Query, k: int, value: int) -> Rows:
        share = 1.0 if query.filter is None else query.filter.share
        n_asked = math.ceil(k / share) + len(query.seen)
        is_dropped[query.seen] = True
        while True:
            n_asked = min(n_asked, n_items)
            rows = found(query, n_asked, value)
            kept: Rows = rows[(rows >= 0) & ~is_dropped[rows]]
            if query.filter is None:
                break
            kept = kept[query.filter.is_allowed[kept]]
            if len(kept) >= k or n_asked == n_items or len(rows) < n_asked:
                break
            n_asked *= 4
        is_dropped[query.seen] = False
        return kept[:k]

    return ask


_GRAPH = (50, 100, 200, 400, 800, 1600)

ANNOY = "Annoy dot"  # what all are compared with
PEERS: dict[str, Contender] = {
    "NumPy": Contender("numpy", numpy_exact),
    ANNOY: Contender("annoy", annoy_dot, "search_k", (2_000, 20_000, 80_000, 320_000)),
    "Annoy angular + 1": Contender(
        "annoy", annoy_angular, "search_k", (2_000, 5_000, 20_000, 80_000)
    ),
    "implicit": Contender("implicit.cpu.als", implicit_exact),
    "implicit AnnoyModel": Contender(
        "implicit.ann.annoy", implicit_annoy, "search_k", (-1, 20_000, 80_000)
    ),
    "faiss Flat": Contender("faiss", faiss_flat),
    "faiss IVFFlat": Contender("faiss", faiss_lists, "nprobe", (8, 32, 128, 512)),
    "faiss HNSW": Contender("faiss", faiss_graph, "efSearch", _GRAPH),
    "voyager": Contender("voyager", voyager_graph, "ef", _GRAPH),
    "voyager largest first": Contender(
        "voyager", partial(voyager_graph, largest_first=True), "ef", _GRAPH
    ),
    "usearch": Contender("usearch.index", usearch_graph, "expansion", _GRAPH),
    "hnswlib": Contender("hnswlib", hnswlib_graph, "ef", _GRAPH),
    "ScaNN": Contender("scann", scann_tree, "leaves", (10, 40, 160, 640)),
    "SVS Vamana": Contender("svs", svs_graph, "window", _GRAPH),
}
