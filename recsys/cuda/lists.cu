// Exact lists of the best items of each user, without storing scores; see recsys/cuda/lists.py for the
// order of the kernels. FACTORS, and the shapes of the blocks that scan, are given by who compiles.
//
// Two passes of the product of users and items run on tensor cores, in float16 with sums in float32.
// The first keeps the best score of each group of 64 items, from which follows a floor that all items
// of the list reach; the second keeps the items that reach it. Those few are scored in float32, and
// sorted by score, equal ones by the lower item. So rounding to float16 decides only how many are kept.
//
// The passes and the list come out the same however blocks follow each other: the places at which
// items are kept differ, but they are sorted afterwards, and no two are equal.

constexpr int GROUP_ITEMS = 64;
constexpr int TILE_ITEMS = 16;            // that a warp multiplies at once: two times 8
constexpr int TILE_USERS = 16;
constexpr int PIECES = FACTORS / 32;      // 16-byte pieces of a float16 vector that a lane of 4 holds
constexpr int N_HANDS = 4;                // that a thread deals groups to
constexpr int LEAST_BIT = 8;              // of a floor: lower ones would raise it by less than rounding
constexpr int VECTOR_BYTES = 2 * FACTORS;
constexpr float LOWEST = -3.0e38f;        // below every score

#ifndef ON_CPU
// C += A B of 16 x 16 by 16 x 8 float16, over a warp; the PTX manual says which lane holds what.
__device__ __forceinline__ void multiply_add(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3,
                                             uint32_t b0, uint32_t b1) {
    asm volatile("mma.sync.aligned.m16n8k16.row.col.f32.f16.f16.f32 "
                 "{%0,%1,%2,%3}, {%4,%5,%6,%7}, {%8,%9}, {%0,%1,%2,%3};"
                 : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
                 : "r"(a0), "r"(a1), "r"(a2), "r"(a3), "r"(b0), "r"(b1));
}

// The two float16 numbers of 32 bits; NVRTC has no header for them.
__device__ __forceinline__ void unpack_halves(uint32_t pair, float& low, float& high) {
    asm("{ .reg .b16 low, high; mov.b32 {low, high}, %2; cvt.f32.f16 %0, low; cvt.f32.f16 %1, high; }"
        : "=f"(low), "=f"(high) : "r"(pair));
}
#endif

// Bits that sort like numbers; -0 is 0.
__device__ __forceinline__ uint32_t ascending(float x) {
    const uint32_t bits = __float_as_uint(x + 0.0f);
    return bits ^ ((uint32_t)((int32_t)bits >> 31) | 0x80000000u);
}

__device__ __forceinline__ float from_ascending(uint32_t bits) {
    return __uint_as_float(bits & 0x80000000u ? bits ^ 0x80000000u : ~bits);
}

struct Scan {
    const char* users;    // (n_users, FACTORS) of float16
    const char* items;    // (n_groups * GROUP_ITEMS, FACTORS) of float16, zeros past the last item
    int n_users, n_items, n_groups;
    int groups_per_part;  // of a block; the grid is blocks of users by parts of the groups
};

struct Kept {             // items that reach a floor
    const float* floors;  // (n_users,)
    int* counts;          // (n_users,): how many do, and more than `room` where there is none for all
    int* items;           // (n_users, room)
    int room;
};

struct ItemTile {
    Piece z[2][PIECES];
};

// The item of score i that a lane has of half n of a tile: columns 2 t and 2 t + 1, of two rows.
__device__ __forceinline__ int item_of(int first, int n, int t, int i) { return first + n * 8 + t * 2 + i % 2; }

// A lane holds rows g and g + 8 of each tile of users, and column g of both halves of a tile of items,
// cut into 16-byte pieces of which it has every fourth. As both are cut alike, it does not matter that
// the factors of a product are not in their order.
template <int TILES, bool KEEPS>
__device__ __forceinline__ void scan(const Scan& a, float* best, const Kept& kept) {
    constexpr bool IS_AHEAD = FACTORS <= 128;  // registers for the next tile of items
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, g = lane / 4, t = lane % 4;
    const int first = (blockIdx.x * (blockDim.x / WARP) + warp) * TILE_USERS * TILES;
    const int part_of_groups = blockIdx.y;
    const int from = part_of_groups * a.groups_per_part, to = min(from + a.groups_per_part, a.n_groups);
    if (first >= a.n_users || from >= to) return;
    Piece u[TILES][2][PIECES];
    float floor_of[TILES][2];
#pragma unroll
    for (int m = 0; m < TILES; ++m)
#pragma unroll
        for (int h = 0; h < 2; ++h) {
            const int row = min(first + m * TILE_USERS + h * 8 + g, a.n_users - 1);
#pragma unroll
            for (int s = 0; s < PIECES; ++s)
                u[m][h][s] = load_piece(a.users + (size_t)row * VECTOR_BYTES + (s * 4 + t) * 16);
            if (KEEPS) floor_of[m][h] = kept.floors[row];
        }
    ItemTile next;
    auto fetch = [&](int item) {
#pragma unroll
        for (int n = 0; n < 2; ++n)
#pragma unroll
            for (int s = 0; s < PIECES; ++s)
                next.z[n][s] = load_piece(a.items + (size_t)(item + n * 8 + g) * VECTOR_BYTES + (s * 4 + t) * 16);
    };
    if (IS_AHEAD) fetch(from * GROUP_ITEMS);
    for (int group = from; group < to; ++group) {
        float top[TILES][2];
#pragma unroll
        for (int m = 0; m < TILES; ++m) top[m][0] = top[m][1] = LOWEST;
#pragma unroll(IS_AHEAD ? GROUP_ITEMS / TILE_ITEMS : 1)
        for (int part = 0; part < GROUP_ITEMS / TILE_ITEMS; ++part) {
            const int item = group * GROUP_ITEMS + part * TILE_ITEMS;
            if (!IS_AHEAD) fetch(item);
            const ItemTile now = next;
            if (IS_AHEAD && item + TILE_ITEMS < to * GROUP_ITEMS) fetch(item + TILE_ITEMS);
            float c[TILES][2][4];  // scores of rows g, g + 8 with columns 2 t, 2 t + 1 of both halves
#pragma unroll
            for (int m = 0; m < TILES; ++m)
#pragma unroll
                for (int n = 0; n < 2; ++n)
#pragma unroll
                    for (int i = 0; i < 4; ++i) c[m][n][i] = 0;
#pragma unroll
            for (int s = 0; s < PIECES; ++s)
#pragma unroll
                for (int n = 0; n < 2; ++n)
#pragma unroll
                    for (int m = 0; m < TILES; ++m) {
                        const Piece &x = u[m][0][s], &y = u[m][1][s], &z = now.z[n][s];
                        multiply_add(c[m][n], x.a, y.a, x.b, y.b, z.a, z.b);
                        multiply_add(c[m][n], x.c, y.c, x.d, y.d, z.c, z.d);
                    }
            if (group * GROUP_ITEMS + GROUP_ITEMS > a.n_items) {  // the last group has fewer
#pragma unroll
                for (int n = 0; n < 2; ++n)
#pragma unroll
                    for (int i = 0; i < 4; ++i)
                        if (item_of(item, n, t, i) >= a.n_items)
#pragma unroll
                            for (int m = 0; m < TILES; ++m) c[m][n][i] = LOWEST;
            }
#pragma unroll
            for (int m = 0; m < TILES; ++m)
#pragma unroll
                for (int h = 0; h < 2; ++h) {
                    const float most = fmaxf(fmaxf(c[m][0][2 * h], c[m][0][2 * h + 1]),
                                             fmaxf(c[m][1][2 * h], c[m][1][2 * h + 1]));
                    top[m][h] = fmaxf(top[m][h], most);
                    const int row = first + m * TILE_USERS + h * 8 + g;
                    if (!KEEPS || most < floor_of[m][h] || row >= a.n_users) continue;
#pragma unroll
                    for (int n = 0; n < 2; ++n)
#pragma unroll
                        for (int i = 0; i < 2; ++i) {
                            const int own = item_of(item, n, t, i);
                            if (c[m][n][2 * h + i] < floor_of[m][h] || own >= a.n_items) continue;
                            const int place = atomicAdd(kept.counts + row, 1);
                            if (place < kept.room) kept.items[(size_t)row * kept.room + place] = own;
                        }
                }
        }
        if (KEEPS) continue;
#pragma unroll
        for (int m = 0; m < TILES; ++m)
#pragma unroll
            for (int h = 0; h < 2; ++h) {
                float x = top[m][h];
                x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 1));
                x = fmaxf(x, __shfl_xor_sync(ALL_LANES, x, 2));
                const int row = first + m * TILE_USERS + h * 8 + g;
                if (t == 0 && row < a.n_users) best[(size_t)row * a.n_groups + group] = x;
            }
    }
}

// The best score of each group: `best` (n_users, n_groups).
extern "C" __global__ void __launch_bounds__(BEST_WARPS * 32)
    best_of_groups(const char* users, const char* items, int n_users, int n_items, int n_groups, int groups_per_part,
                   float* best) {
    scan<BEST_TILES, false>(Scan{users, items, n_users, n_items, n_groups, groups_per_part}, best, Kept{});
}

// Keep the items that reach the floor of a user, of all items. `counts` begin at 0.
extern "C" __global__ void __launch_bounds__(KEEP_WARPS * 32)
    keep_of_all(const char* users, const char* items, int n_users, int n_items, int n_groups, int groups_per_part,
                const float* floors, int* counts, int* kept, int room) {
    scan<KEEP_TILES, true>(Scan{users, items, n_users, n_items, n_groups, groups_per_part}, nullptr,
                           Kept{floors, counts, kept, room});
}

// A score that all items of a list reach, of a user for each block. Groups with an excluded item have
// no vote, as it may be their best. A thread deals its groups out to hands; the k-th best hand of all
// is reached by k items at least, and found by bisection of its bits. `margin` covers what rounding to
// float16 can take from one score and give to another, for a user of length 1.
extern "C" __global__ void __launch_bounds__(256)
    floors_of_users(const float* best, int n_groups, const int* starts, const int* excluded, int k,
                    const float* lengths, float margin, float* floors, int* counts) {
    uint32_t* has_excluded = shared_array<uint32_t>();  // a bit for each group
    SHARED(int, totals[WARP]);                          // hands that reach the floor tried, of each bit
    const int user = blockIdx.x;
    for (int i = threadIdx.x; i < (n_groups + 31) / 32; i += blockDim.x) has_excluded[i] = 0;
    if (threadIdx.x < WARP) totals[threadIdx.x] = 0;
    __syncthreads();
    for (int i = starts[user] + threadIdx.x; i < starts[user + 1]; i += blockDim.x) {
        const int group = excluded[i] / GROUP_ITEMS;
        atomicOr(has_excluded + group / 32, 1u << group % 32);
    }
    __syncthreads();
    uint32_t hands[N_HANDS], floor = 0;
#pragma unroll
    for (int j = 0; j < N_HANDS; ++j) hands[j] = 0;
    for (int base = threadIdx.x; base < n_groups; base += N_HANDS * blockDim.x)
#pragma unroll
        for (int j = 0; j < N_HANDS; ++j) {
            const int group = base + j * blockDim.x;
            if (group < n_groups && !(has_excluded[group / 32] >> group % 32 & 1u))
                hands[j] = max(hands[j], ascending(best[(size_t)user * n_groups + group]));
        }
    for (int bit = 31; bit >= LEAST_BIT; --bit) {
        const uint32_t tried = floor | 1u << bit;
        int n = 0;
#pragma unroll
        for (int j = 0; j < N_HANDS; ++j) n += __popc(__ballot_sync(ALL_LANES, hands[j] >= tried));
        if (threadIdx.x % WARP == 0) atomicAdd(totals + bit, n);
        __syncthreads();
        if (totals[bit] >= k) floor = tried;
    }
    if (threadIdx.x == 0) {
        floors[user] = floor ? from_ascending(floor) - margin * lengths[user] : LOWEST;
        counts[user] = 0;
    }
}

// Keep the items that reach the floor of a user, of the groups whose best does: for many items, of
// which few groups are left. A warp for each user, some lanes for each item; float32 by float16.
extern "C" __global__ void __launch_bounds__(128)
    keep_of_groups(const float* users, const char* items, int n_users, int n_items, int n_groups, const float* best,
                   const float* floors, int* counts, int* kept, int room) {
    constexpr int LANES = FACTORS < 64 ? FACTORS / 8 : 8, OWN = FACTORS / 8 / LANES;  // pieces of a lane
    const int lane = threadIdx.x % WARP, of_item = lane % LANES;
    const int user = blockIdx.x * (blockDim.x / WARP) + threadIdx.x / WARP;
    if (user >= n_users) return;
    const float floor = floors[user];
    float u[OWN][8];
#pragma unroll
    for (int s = 0; s < OWN; ++s)
#pragma unroll
        for (int i = 0; i < 8; ++i) u[s][i] = users[(size_t)user * FACTORS + (s * LANES + of_item) * 8 + i];
    int n = 0;
    for (int base = 0; base < n_groups; base += WARP) {
        const int mine = base + lane;
        uint32_t reach =
            __ballot_sync(ALL_LANES, mine < n_groups && best[(size_t)user * n_groups + mine] >= floor);
        for (; reach; reach &= reach - 1) {
            const int group = base + __ffs(reach) - 1;
#pragma unroll 4
            for (int part = 0; part < GROUP_ITEMS * LANES / WARP; ++part) {
                const int item = group * GROUP_ITEMS + part * (WARP / LANES) + lane / LANES;
                float score = 0;
#pragma unroll
                for (int s = 0; s < OWN; ++s) {
                    const Piece z = load_piece(items + (size_t)item * VECTOR_BYTES + (s * LANES + of_item) * 16);
                    const uint32_t pairs[4] = {z.a, z.b, z.c, z.d};
#pragma unroll
                    for (int i = 0; i < 4; ++i) {
                        float low, high;
                        unpack_halves(pairs[i], low, high);
                        score += u[s][2 * i] * low + u[s][2 * i + 1] * high;
                    }
                }
                score = sum_of_lanes<LANES>(score);
                const bool is_kept = of_item == 0 && item < n_items && score >= floor;
                const uint32_t all_kept = __ballot_sync(ALL_LANES, is_kept);
                const int place = n + __popc(all_kept & ((1u << lane) - 1));
                if (is_kept && place < room) kept[(size_t)user * room + place] = item;
                n += __popc(all_kept);
            }
        }
    }
    if (lane == 0) counts[user] = n;
}

// Whether an item is among those that are excluded, which ascend.
__device__ __forceinline__ bool is_among(const int* excluded, int first, int last, int item) {
    int low = first, high = last;
    while (low < high) {
        const int middle = low + (high - low) / 2;
        if (excluded[middle] < item) low = middle + 1;
        else high = middle;
    }
    return low < last && excluded[low] == item;
}

// Score what was kept in float32, leave out what is excluded, and sort: of equal scores the lower item
// first. A user for each block; `keys` of a power of two as large as the room. Past the end of a short
// list are -1 and minus infinity. Where not all had room, nothing is written.
extern "C" __global__ void __launch_bounds__(256)
    rank_kept(const float* users, const float* items, const int* counts, const int* kept, int room, const int* starts,
              const int* excluded, int k, int* rows, float* scores) {
    unsigned long long* keys = shared_array<unsigned long long>();
    const int user = blockIdx.x, n = counts[user];
    const int lane = threadIdx.x % WARP, warp = threadIdx.x / WARP, n_warps = blockDim.x / WARP;
    if (n > room) return;
    int size = WARP;
    while (size < n || size < k) size *= 2;
    for (int i = threadIdx.x; i < size; i += blockDim.x) keys[i] = 0;  // below that of any item
    __syncthreads();
    for (int c = warp; c < n; c += n_warps) {
        const int item = kept[(size_t)user * room + c];
        float score = 0;
        for (int f = lane; f < FACTORS; f += WARP)
            score += users[(size_t)user * FACTORS + f] * items[(size_t)item * FACTORS + f];
        score = sum_of_lanes<WARP>(score);
        if (lane == 0 && !is_among(excluded, starts[user], starts[user + 1], item))
            keys[c] = (unsigned long long)ascending(score) << 32 | (uint32_t)~item;
    }
    __syncthreads();
    for (int run = 2; run <= size; run *= 2)  // bitonic, descending
        for (int gap = run / 2; gap > 0; gap /= 2) {
            for (int i = threadIdx.x; i < size; i += blockDim.x) {
                const int j = i ^ gap;
                if (j < i) continue;
                const unsigned long long x = keys[i], y = keys[j];
                if ((x < y) == ((i & run) == 0)) keys[i] = y, keys[j] = x;
            }
            __syncthreads();
        }
    for (int i = threadIdx.x; i < k; i += blockDim.x) {
        const unsigned long long key = keys[i];
        rows[(size_t)user * k + i] = key ? (int)~(uint32_t)key : -1;
        scores[(size_t)user * k + i] = key ? from_ascending((uint32_t)(key >> 32)) : __uint_as_float(0xff800000u);
    }
}
