// Rows of an ALS half-sweep by preconditioned conjugate gradients; see recsys/models/als/row_solver.py
// for the method and its letters. NUMBER and FACTORS are given by who compiles.
//
// A block solves a row. A lane has a 16-byte piece of every column that its group of lanes loads. A
// pass over the columns of a row, tile by tile: dot products with a vector, then a sum of columns.
// The row's vectors are in registers, the same in every warp, so that the warps of a block meet once a
// pass. Sums are made in one order: the same input gives the same bits.
//
// A column of weight below 0 is one whose score should be 0, where others' should be 1; its weight is
// what stands without the sign.

constexpr int N_LOADS = FACTORS > 256 ? 4 : 8;  // pieces of a tile that a lane holds

struct Bfloat16 {
    static constexpr int BYTES = 2, PER_PIECE = 8;
    __device__ static void unpack(const Piece& z, float (&f)[8]) {
        const uint32_t pairs[4] = {z.a, z.b, z.c, z.d};
#pragma unroll
        for (int i = 0; i < 4; ++i) {
            f[2 * i] = __uint_as_float(pairs[i] << 16);
            f[2 * i + 1] = __uint_as_float(pairs[i] & 0xffff0000u);
        }
    }
};

struct Float32 {
    static constexpr int BYTES = 4, PER_PIECE = 4;
    __device__ static void unpack(const Piece& z, float (&f)[4]) {
        f[0] = __uint_as_float(z.a), f[1] = __uint_as_float(z.b);
        f[2] = __uint_as_float(z.c), f[3] = __uint_as_float(z.d);
    }
};

using T = NUMBER;
constexpr int V = T::PER_PIECE;                        // factors of a piece
constexpr int PIECES = FACTORS / V;                    // of a column
constexpr int GROUP = PIECES < WARP ? PIECES : WARP;   // lanes that share a column
constexpr int P = PIECES / GROUP;                      // pieces of a column that a lane holds
constexpr int GROUPS = WARP / GROUP;                   // columns that a warp loads at once
constexpr int M = N_LOADS / P;                         // columns of a tile that a lane has a part of
constexpr int OWN = M > GROUP ? M / GROUP : 1;         // columns whose dot product ends in a lane
constexpr int SHARERS = M > GROUP ? 1 : GROUP / M;     // lanes in which one dot product ends
constexpr int PART = FACTORS + 4;                      // of a sum: the image, its squares, padding

using Vector = float[P][V];  // a lane's share of a vector of the row

struct Problem {
    const int* indptr;            // (n_rows + 1,)
    const int* columns;           // (nnz,)
    const float* weights;         // (nnz,), below 0 where the score should be 0
    const char* fixed;            // (n_fixed, FACTORS) of T
    const int* order;             // (n,): the rows of this launch
    float* rows;                  // (n_rows, FACTORS): where the iteration starts, and its result
    const float* pulls;           // (n_rows, FACTORS): rows times the dense matrix
    const float* diagonal;        // (FACTORS,): of the dense matrix
    const float* scale;           // (n_rows,): of the dense matrix
    const float* regularization;  // (n_rows,), above 0
    float* losses;                // (n_rows,), out
    int steps;
    float tolerance;
};
#define PROBLEM_ARGUMENTS                                                                              \
    const int *indptr, const int *columns, const float *weights, const char *fixed, const int *order,  \
        float *rows, const float *pulls, const float *diagonal, const float *scale,                    \
        const float *regularization, float *losses, int steps, float tolerance
#define PROBLEM                                                                                        \
    Problem {                                                                                          \
        indptr, columns, weights, fixed, order, rows, pulls, diagonal, scale, regularization, losses,  \
            steps, tolerance                                                                           \
    }

struct Place {  // of a lane in its block
    int lane, warp, n_warps;
    int group, in_group;
    __device__ Place()
        : lane(threadIdx.x % WARP), warp(threadIdx.x / WARP), n_warps(blockDim.x / WARP),
          group(lane / GROUP), in_group(lane % GROUP) {}
    __device__ int factor(int p) const { return (p * GROUP + in_group) * V; }  // the first of a piece
};

struct Ids {  // the columns whose dot products end in this lane
    int id[OWN];
    float weight[OWN];
};

struct Tile {
    Piece z[M][P];
    float weight[OWN];
    int n_used;  // of M, the same in the whole block
};

// The column of a tile, of M, that the first of a lane's own dot products is of.
__device__ __forceinline__ int own_column(int in_group, int i) {
    return OWN > 1 ? in_group * OWN + i : in_group / SHARERS;
}

// The lane that owns column m of this lane's group.
__device__ __forceinline__ int owner(int group, int m) {
    return group * GROUP + (OWN > 1 ? m / OWN : m * SHARERS);
}

__device__ __forceinline__ void fetch_ids(Ids& ids, const Problem& a, int base, int stop, const Place& at) {
#pragma unroll
    for (int i = 0; i < OWN; ++i) {
        const int j = base + (own_column(at.in_group, i) * at.n_warps + at.warp) * GROUPS + at.group;
        ids.id[i] = j < stop ? a.columns[j] : -1;
        ids.weight[i] = j < stop ? a.weights[j] : 0.0f;
    }
}

__device__ __forceinline__ void fetch_columns(Tile& tile, const Ids& ids, const char* __restrict__ fixed,
                                              int base, int stop, const Place& at) {
    const int per_round = at.n_warps * GROUPS;
    tile.n_used = (stop - base + per_round - 1) / per_round;
#pragma unroll
    for (int i = 0; i < OWN; ++i) tile.weight[i] = ids.weight[i];
#pragma unroll
    for (int m = 0; m < M; ++m) {
        const int column = __shfl_sync(ALL_LANES, ids.id[m % OWN], owner(at.group, m));
#pragma unroll
        for (int p = 0; p < P; ++p) {
            tile.z[m][p] = Piece{0, 0, 0, 0};
            if (column >= 0)
                tile.z[m][p] = load_piece(fixed + (size_t)column * (FACTORS * T::BYTES) +
                                          (p * GROUP + at.in_group) * 16);
        }
    }
}

// Sum the M values of each lane over its group; a lane ends with the sums that it owns.
__device__ __forceinline__ void reduce_scatter(float (&s)[M], int in_group) {
    int left = M;
#pragma unroll
    for (int offset = GROUP / 2; offset > 0; offset /= 2) {
        if (left > 1) {
            left /= 2;
            const bool is_upper = in_group & offset;
#pragma unroll
            for (int i = 0; i < M / 2; ++i) {
                if (i < left) {
                    const float given = is_upper ? s[i] : s[i + left];
                    const float kept = is_upper ? s[i + left] : s[i];
                    s[i] = kept + __shfl_xor_sync(ALL_LANES, given, offset);
                }
            }
        } else {
            s[0] += __shfl_xor_sync(ALL_LANES, s[0], offset);
        }
    }
}

// The dot products of a tile's columns with a vector, each in its owner.
__device__ __forceinline__ void dots(const Tile& tile, const Vector& x, int in_group, float (&s)[M]) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
        s[m] = 0;
        if (m < tile.n_used) {
#pragma unroll
            for (int p = 0; p < P; ++p) {
                float f[V];
                T::unpack(tile.z[m][p], f);
#pragma unroll
                for (int v = 0; v < V; ++v) s[m] += f[v] * x[p][v];
            }
        }
    }
    reduce_scatter(s, in_group);
}

__device__ __forceinline__ void add_columns(const Tile& tile, const float (&times)[OWN], int group, Vector& out) {
#pragma unroll
    for (int m = 0; m < M; ++m) {
        if (m < tile.n_used) {
            const float c = __shfl_sync(ALL_LANES, times[m % OWN], owner(group, m));
#pragma unroll
            for (int p = 0; p < P; ++p) {
                float f[V];
                T::unpack(tile.z[m][p], f);
#pragma unroll
                for (int v = 0; v < V; ++v) out[p][v] += f[v] * c;
            }
        }
    }
}

// Numbers are unpacked where they are used: else the compiler keeps all of them unpacked, in memory.
__device__ __forceinline__ void keep_packed(Tile& tile) {
#ifndef ON_CPU
#pragma unroll
    for (int m = 0; m < M; ++m)
#pragma unroll
        for (int p = 0; p < P; ++p)
            asm volatile("" : "+r"(tile.z[m][p].a), "+r"(tile.z[m][p].b), "+r"(tile.z[m][p].c), "+r"(tile.z[m][p].d));
#endif
}

// A pass over columns start..stop-1 by this block: image = Z' w (target - Z x), and the squares
// sum w (target - Z x)^2, of this warp's columns. The target is 1 (0 of a weight below 0) where the
// pass is of the residual, else 0.
__device__ __forceinline__ void pass_over(const Problem& a, int start, int stop, const Place& at, const Vector& x,
                                          bool is_residual, bool wants_image, Vector& image, float& squares) {
    const int per_tile = GROUPS * M * at.n_warps;
    Tile tile;
    Ids ids;
    squares = 0;
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
        for (int v = 0; v < V; ++v) image[p][v] = 0;
    fetch_ids(ids, a, start, stop, at);
    for (int base = start; base < stop; base += per_tile) {
        fetch_columns(tile, ids, a.fixed, base, stop, at);
        if (base + per_tile < stop) fetch_ids(ids, a, base + per_tile, stop, at);  // on their way meanwhile
        float s[M], times[OWN];
        dots(tile, x, at.in_group, s);
#pragma unroll
        for (int i = 0; i < OWN; ++i) {
            const float target = is_residual && tile.weight[i] > 0 ? 1.0f : 0.0f;
            const float error = target - s[i];
            times[i] = fabsf(tile.weight[i]) * error;
            squares += times[i] * error;
        }
        if (wants_image) {
            keep_packed(tile);
            add_columns(tile, times, at.group, image);
        }
    }
}

// Sum the images and squares of all groups and warps of the block, in order; every lane gets its share.
// One barrier: `parts` has room for two such sums, which take turns; none where there is one warp.
__device__ __forceinline__ void exchange(Vector& image, float& squares, float* parts, int& turn, const Place& at,
                                         bool wants_image) {
    squares = sum_of_lanes<WARP>(squares) * (1.0f / SHARERS);
    if (wants_image) {
#pragma unroll
        for (int p = 0; p < P; ++p)
#pragma unroll
            for (int v = 0; v < V; ++v)
#pragma unroll
                for (int offset = GROUP; offset < WARP; offset *= 2)
                    image[p][v] += __shfl_xor_sync(ALL_LANES, image[p][v], offset);
    }
    if (at.n_warps == 1) return;
    float* room = parts + turn * at.n_warps * PART;
    turn ^= 1;
    float* mine = room + at.warp * PART;
    if (wants_image && at.group == 0) {
#pragma unroll
        for (int p = 0; p < P; ++p)
#pragma unroll
            for (int v = 0; v < V; v += 4)
                *reinterpret_cast<float4*>(mine + at.factor(p) + v) =
                    float4{image[p][v], image[p][v + 1], image[p][v + 2], image[p][v + 3]};
    }
    if (at.lane == 0) mine[FACTORS] = squares;
    __syncthreads();
    squares = 0;
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
        for (int v = 0; v < V; ++v) image[p][v] = 0;
    for (int w = 0; w < at.n_warps; ++w) {
        squares += room[w * PART + FACTORS];
        if (!wants_image) continue;
#pragma unroll
        for (int p = 0; p < P; ++p)
#pragma unroll
            for (int v = 0; v < V; v += 4) {
                const float4 part = *reinterpret_cast<const float4*>(room + w * PART + at.factor(p) + v);
                image[p][v] += part.x, image[p][v + 1] += part.y;
                image[p][v + 2] += part.z, image[p][v + 3] += part.w;
            }
    }
}

struct Iteration {   // of a row; `direction` is the row itself until the residual is known
    Vector direction, residual;
    float rho, enough;
};

// What follows pass number 0, of the residual, or a step: false where the row is solved.
__device__ __forceinline__ bool after_pass(Iteration& it, const Vector& image, float squares, const Problem& a, int row,
                                           int pass, bool is_last, const Place& at, bool writes) {
    const float scale = a.scale[row], reg = a.regularization[row];
    const size_t of_row = (size_t)row * FACTORS;
    float alpha = 1, next = 0;
    if (pass == 0) {
        float quadratic = 0;
#pragma unroll
        for (int p = 0; p < P; ++p)
#pragma unroll
            for (int v = 0; v < V; ++v) {
                const float x = it.direction[p][v];
                const float pull = scale * a.pulls[of_row + at.factor(p) + v] + reg * x;
                it.residual[p][v] = -pull;
                quadratic += pull * x;
            }
        quadratic = sum_of_lanes<GROUP>(quadratic);
        if (threadIdx.x == 0) a.losses[row] = squares + quadratic;
    } else {
        float curvature = 0;
#pragma unroll
        for (int p = 0; p < P; ++p)
#pragma unroll
            for (int v = 0; v < V; ++v)
                curvature += (scale * a.diagonal[at.factor(p) + v] + reg) * it.direction[p][v] * it.direction[p][v];
        curvature = sum_of_lanes<GROUP>(curvature) + squares;
        if (!(curvature > 0)) return false;  // solved as exactly as float32 can
        alpha = it.rho / curvature;
        if (threadIdx.x == 0) a.losses[row] -= alpha * it.rho;
#pragma unroll
        for (int p = 0; p < P; ++p)
#pragma unroll
            for (int v = 0; v < V; ++v) {
                const int f = at.factor(p) + v;
                if (!is_last) it.residual[p][v] -= (scale * a.diagonal[f] + reg) * alpha * it.direction[p][v];
                if (writes) a.rows[of_row + f] += alpha * it.direction[p][v];
            }
        if (is_last) return false;
    }
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
        for (int v = 0; v < V; ++v) {
            it.residual[p][v] += alpha * image[p][v];
            const float dense = scale * a.diagonal[at.factor(p) + v] + reg;
            next += __fdividef(it.residual[p][v] * it.residual[p][v], dense);
        }
    next = sum_of_lanes<GROUP>(next);
    if (pass == 0) it.enough = a.tolerance * a.tolerance * next;
    if (pass > 0 && next <= it.enough) return false;
    const float beta = pass == 0 ? 0.0f : next / it.rho;
    it.rho = next;
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
        for (int v = 0; v < V; ++v) {
            const float dense = scale * a.diagonal[at.factor(p) + v] + reg;
            it.direction[p][v] = __fdividef(it.residual[p][v], dense) + (pass == 0 ? 0.0f : beta * it.direction[p][v]);
        }
    return true;
}

__device__ __forceinline__ void load_vector(Vector& x, const float* of_row, const Place& at) {
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
        for (int v = 0; v < V; ++v) x[p][v] = of_row[at.factor(p) + v];
}

__device__ __forceinline__ void store_vector(const Vector& x, float* of_row, const Place& at) {
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
        for (int v = 0; v < V; ++v) of_row[at.factor(p) + v] = x[p][v];
}

__device__ __forceinline__ void solve_row(const Problem& a, int steps) {
    const Place at;
    const int row = a.order[blockIdx.x];
    const bool writes = at.warp == 0 && at.group == 0;  // the others need no x
    int turn = 0;
    Vector image;
    float squares;
    Iteration it;
    load_vector(it.direction, a.rows + (size_t)row * FACTORS, at);
    for (int pass = 0; pass <= steps; ++pass) {
        const bool is_last = pass == steps;
        pass_over(a, a.indptr[row], a.indptr[row + 1], at, it.direction, pass == 0, !is_last, image, squares);
        exchange(image, squares, shared_array<float>(), turn, at, !is_last);
        if (!after_pass(it, image, squares, a, row, pass, is_last, at, writes)) break;
    }
}

// One step takes fewer registers, and so more rows at a time.
extern "C" __global__ void __launch_bounds__(256, 3) step_rows(PROBLEM_ARGUMENTS) { solve_row(PROBLEM, 1); }
extern "C" __global__ void __launch_bounds__(256, 3) solve_rows(PROBLEM_ARGUMENTS) { solve_row(PROBLEM, steps); }

// Rows that are too long for one block: a block sums the images of one piece of a row to memory, and
// a warp adds the pieces of a row in order and takes the step. What a row needs between passes is in
// memory: `directions` and `residuals` (n, FACTORS), `states` (n, 3): rho, enough, is_solved.
extern "C" __global__ void __launch_bounds__(256, 3)
    sum_pieces(PROBLEM_ARGUMENTS, const int* piece_row, const int* piece_start, const int* piece_stop,
               const float* directions, const float* states, float* sums, int pass) {
    const Place at;
    const Problem a = PROBLEM;
    const int piece = blockIdx.x, n = piece_row[piece];  // which of the long rows
    if (states[n * 3 + 2] != 0) return;
    int turn = 0;
    Vector x, image;
    float squares;
    load_vector(x, directions + (size_t)n * FACTORS, at);
    pass_over(a, piece_start[piece], piece_stop[piece], at, x, pass == 0, pass < steps, image, squares);
    exchange(image, squares, shared_array<float>(), turn, at, pass < steps);
    float* out = sums + (size_t)piece * PART;
    if (at.warp == 0 && at.group == 0) store_vector(image, out, at);
    if (threadIdx.x == 0) out[FACTORS] = squares;
}

extern "C" __global__ void __launch_bounds__(32)
    step_long_rows(PROBLEM_ARGUMENTS, const int* first_piece, float* directions, float* residuals, float* states,
                   const float* sums, int pass) {
    const Place at;
    const Problem a = PROBLEM;
    const int n = blockIdx.x, row = order[n];
    float* state = states + n * 3;
    if (state[2] != 0) return;
    Vector image, part;
    float squares = 0;
    Iteration it;
#pragma unroll
    for (int p = 0; p < P; ++p)
#pragma unroll
        for (int v = 0; v < V; ++v) image[p][v] = 0;
    for (int piece = first_piece[n]; piece < first_piece[n + 1]; ++piece) {
        load_vector(part, sums + (size_t)piece * PART, at);
        squares += sums[(size_t)piece * PART + FACTORS];
#pragma unroll
        for (int p = 0; p < P; ++p)
#pragma unroll
            for (int v = 0; v < V; ++v) image[p][v] += part[p][v];
    }
    load_vector(it.direction, directions + (size_t)n * FACTORS, at);
    load_vector(it.residual, residuals + (size_t)n * FACTORS, at);
    it.rho = state[0], it.enough = state[1];
    __syncwarp();
    const bool goes_on = after_pass(it, image, squares, a, row, pass, pass == steps, at, at.group == 0);
    if (at.group == 0) {
        store_vector(it.direction, directions + (size_t)n * FACTORS, at);
        store_vector(it.residual, residuals + (size_t)n * FACTORS, at);
    }
    if (at.lane == 0) {
        state[0] = it.rho, state[1] = it.enough, state[2] = goes_on ? 0.0f : 1.0f;
    }
}

// Round vectors to what is gathered, to the nearest, ties to even; no number stays none.
extern "C" __global__ void __launch_bounds__(256) round_rows(const float* vectors, unsigned short* rounded, size_t n) {
    const size_t i = (size_t)blockIdx.x * blockDim.x + threadIdx.x;
    if (i >= n) return;
    const uint32_t bits = __float_as_uint(vectors[i]);
    const bool is_number = (bits & 0x7fffffffu) <= 0x7f800000u;
    const uint32_t up = bits + 0x7fffu + (bits >> 16 & 1u);
    rounded[i] = (unsigned short)((is_number ? up : bits | 0x400000u) >> 16);
}
