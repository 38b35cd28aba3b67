"""The kernels of exact lists, run on the CPU, against NumPy; and with faults in them."""

from pathlib import Path
from typing import NamedTuple

import numpy as np
import pytest
from numpy.typing import NDArray

from recsys.cuda.backend import Backend
from recsys.cuda.lists import LONGEST, CardSearcher, Exclusions, can_list, program_of
from tests.cuda.emulator import Emulator, KernelError, planted

N_USERS, N_ITEMS, K = 37, 1500, 10  # of no whole block, no whole group
ROOM = 512
FACTORS = (13, 64, 128, 200, 512)


class World(NamedTuple):
    """Vectors of small whole numbers: their products are exact in float32, and not in float16."""

    users: NDArray[np.float32]
    items: NDArray[np.float32]
    excluded: Exclusions


def world_of(factors: int, seed: int = 0, n_users: int = N_USERS) -> World:
    """Return users and items of whom many tie, and many are closer than float16 can tell."""
    rng, largest = np.random.default_rng(seed), 31 if factors < 150 else 7
    users = rng.integers(-largest, largest + 1, (n_users, factors))
    items = rng.integers(-1000, 1001, (N_ITEMS, factors))
    # The best of some users are one of each group, so that the floor is just under them: some far
    # apart, some closer than float16 can tell.
    items[53::64] *= 16
    close = items[7::64]
    close[:] = rng.integers(2100, 4000, factors) + rng.integers(-1, 2, close.shape)
    items[700:760], items[40:48] = items[100:160], items[1499]  # equals, also of the last group
    users[:7], users[11] = np.abs(users[:7]), np.abs(users[11])
    users[8] = 0  # all tie: of more than there is room for
    lists = [np.sort(rng.choice(N_ITEMS, n, replace=False)) for n in rng.integers(0, 9, n_users)]
    lists[9] = np.arange(0, N_ITEMS, 5)  # in all groups, so that none has a vote
    lists[10] = np.delete(np.arange(N_ITEMS), [3, 640, 1498])  # three are left
    lists[11] = np.arange(N_ITEMS)[7:900:64][::-1]  # in any order
    lists[12] = np.arange(N_ITEMS)
    starts = np.concatenate([[0], np.cumsum([len(one) for one in lists])])
    excluded = Exclusions(starts.astype(np.int64), np.concatenate(lists).astype(np.int32))
    return World(users.astype(np.float32), items.astype(np.float32), excluded)


def by_numpy(world: World, k: int) -> tuple[NDArray[np.int32], NDArray[np.float32]]:
    """Return the lists, by sorting all scores."""
    scores = world.users.astype(np.float64) @ world.items.T.astype(np.float64)
    for user in range(len(scores)):
        scores[user, world.excluded.of(user, user + 1).items] = -np.inf
    rows = np.argsort(-scores, axis=1, kind="stable")[:, :k].astype(np.int32)
    best = np.take_along_axis(scores, rows, axis=1).astype(np.float32)
    rows[best == -np.inf] = -1
    return rows, best


def are_right(
    backend: Backend, world: World, k: int = K, *, by_groups: bool = False, room: int = ROOM
) -> bool:
    """Return whether lists are those of NumPy, item by item and to the last bit of a score."""
    searcher = CardSearcher(backend, world.items, by_groups=by_groups, room=room)
    rows, scores = searcher.search_many(world.users, k, *world.excluded)
    expected, best = by_numpy(world, k)
    return np.array_equal(rows, expected) and np.array_equal(scores, best)


@pytest.mark.parametrize("factors", FACTORS)
def test_kernels_make_the_lists_of_numpy(emulator: Emulator, factors: int) -> None:
    world = world_of(factors, seed=factors)
    assert are_right(emulator, world)
    assert are_right(emulator, world, by_groups=True)


def test_lists_are_as_long_as_there_are_items_and_do_not_depend_on_blocks_or_scale(
    emulator: Emulator, kernels: Path
) -> None:
    users, items, excluded = world = world_of(13)
    assert are_right(emulator, world, LONGEST, room=4096)
    few = World(users, items[:70], Exclusions(np.zeros(N_USERS + 1, np.int64), np.empty(0, "i4")))
    rows, scores = CardSearcher(emulator, few.items).search_many(users, 80, *few.excluded)
    expected, best = by_numpy(few, 70)
    assert np.array_equal(rows[:, :70], expected)
    assert np.array_equal(scores[:, :70], best)
    assert (rows[:, 70:] == -1).all()
    assert (scores[:, 70:] == -np.inf).all()
    small = CardSearcher(Emulator(kernels, free_bytes=4 * 4 * 1100 * 9), items, room=ROOM)
    assert small.users_per_block < 20
    whole = CardSearcher(emulator, items, room=ROOM).search_many(users, K, *excluded)
    assert all(map(np.array_equal, small.search_many(users, K, *excluded), whole))
    tiny = CardSearcher(emulator, items * np.float32(2.0**-90), room=ROOM)
    of_tiny = tiny.search_many(users * np.float32(2.0**60), K, *excluded)
    assert np.array_equal(of_tiny[0], whole[0])
    assert np.array_equal(of_tiny[1], whole[1] * np.float32(2.0**-30))
    assert len(small.search_many(users[:0], K, excluded.starts[:1], excluded.items[:0])[0]) == 0


FAULTS = {  # an expression of the kernels, and what would be wrong in its place
    "a barrier is missing": ("__syncthreads()", "(void)0"),
    "a warp runs past barriers": (
        "__syncthreads()",
        "threadIdx.x / 32 ? __syncthreads() : (void)0",
    ),
    "a lane multiplies another row": ("u[m][0][s]", "u[m][1][s]"),
    "a lane has the user of a neighbour": ("h * 8 + g", "h * 8 + t"),
    "a lane has the item of a neighbour": ("n * 8 + t * 2", "n * 8 + t * 2 + 2"),
    "a tile of items is not fetched": (
        "item + TILE_ITEMS < to * GROUP_ITEMS",
        "item + 2 * TILE_ITEMS < to * GROUP_ITEMS",
    ),
    "a part begins one group late": (
        "part_of_groups * a.groups_per_part",
        "part_of_groups * a.groups_per_part + 1",
    ),
    "the best of a group is that of some lanes": ("__shfl_xor_sync(ALL_LANES, x, 2)", "x"),
    "the floor is that of a shorter list": ("totals[bit] >= k", "totals[bit] + 2 >= k"),
    "rounding is not covered": ("margin * lengths[user]", "0.0f"),
    "excluded items vote": ("has_excluded[group / 32]", "0u"),
    "the group after one that reaches": ("__ffs(reach) - 1", "__ffs(reach)"),
    "lanes of an item take another": ("lane / LANES", "of_item"),
    "more is ranked than is kept": ("n > room", "false"),
    "an excluded item is listed": ("excluded[low] == item", "false"),
    "excluded items are passed by": ("excluded[middle] < item", "excluded[middle] <= item"),
    "the order of the list is turned": ("(i & run) == 0", "(i & run) != 0"),
    "of equal scores the higher item": ("~item", "item"),
}


def test_every_fault_in_the_kernels_is_found(kernels: Path) -> None:
    emulator = Emulator(kernels, change=planted("lists.cu", FAULTS))
    world = world_of(48, n_users=14)

    def is_right(fault: int) -> bool:
        emulator.set("fault", fault, program_of(64))
        try:
            return all(are_right(emulator, world, by_groups=one) for one in (False, True))
        except KernelError:
            return False

    assert is_right(0)
    assert [name for number, name in enumerate(FAULTS, start=1) if is_right(number)] == []


def test_what_a_card_does_not_list() -> None:
    assert can_list(LONGEST, 60_000, 512)
    assert not can_list(LONGEST + 1, 60_000, 64)
    assert not can_list(20, 2**24 + 1, 64)
    assert not can_list(20, 60_000, 513)
    assert not can_list(20, 0, 64)
