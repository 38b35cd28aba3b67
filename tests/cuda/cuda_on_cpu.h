// Enough of CUDA C++ to run kernels on a CPU, lane by lane, for tests: exact, deterministic, slow.
//
// Each thread of a block is a fiber; barriers and shuffles switch between them. A warp runs as far
// ahead of the others as barriers let it, so that a missing barrier shows. Blocks run one after the
// other. Shared memory is poisoned before each block, and what lies behind it is guarded.
#pragma once
#define ON_CPU 1
#include <math.h>
#include <setjmp.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <ucontext.h>

#include <utility>

#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(...)
#define __restrict__
#define SHARED_ARRAY(TYPE, NAME) TYPE* NAME = reinterpret_cast<TYPE*>(block.shared)
#define SHARED(TYPE, NAME) static TYPE NAME

template <class T> T min(T a, T b) { return b < a ? b : a; }
template <class T> T max(T a, T b) { return a < b ? b : a; }
struct float4 {
    float x, y, z, w;
};
struct Dim {
    unsigned x = 0, y = 0, z = 0;
};
static Dim threadIdx, blockIdx, blockDim, gridDim;

enum Outcome { DONE, DEADLOCK, OUT_OF_SHARED };

class Block {
  public:
    char* shared = nullptr;

    // Run a block, whose threads do `body(of)`.
    Outcome run(int n_threads, int n_shared, void (*of_thread)(void*), void* its) {
        body = of_thread, arguments = its;
        n = n_live = n_threads, n_at_barrier = n_idle = 0, outcome = DONE;
        memset(is_started, 0, sizeof is_started), memset(is_done, 0, sizeof is_done);
        memset(turn, 0, sizeof turn), memset(n_in_warp, 0, sizeof n_in_warp);
        memset(n_of_warp, 0, sizeof n_of_warp);
        if (!stacks) stacks = (char*)malloc(MOST * (size_t)STACK), shared = (char*)malloc(MOST_SHARED + GUARD);
        memset(shared, POISON, n_shared + GUARD);
        if (_setjmp(outside) == 0) go_to(0);
        for (int i = n_shared; outcome == DONE && i < n_shared + GUARD; ++i)
            if (shared[i] != POISON) outcome = OUT_OF_SHARED;
        return outcome;
    }

    void barrier() {
        const int warp = current / 32, own = round;
        ++n_of_warp[warp];
        if (++n_at_barrier == n_live) return open_barrier();
        while (round == own)  // first the others of this warp
            wait(n_of_warp[warp] < 32 ? next_of(warp * 32, warp * 32 + 32) : next_of(0, n));
    }

    void warp_barrier() {
        const int warp = current / 32, own = warp_round[warp];
        if (++n_in_warp[warp] == 32) {
            n_in_warp[warp] = n_idle = 0, ++warp_round[warp];
            return;
        }
        while (warp_round[warp] == own) wait(next_of(warp * 32, warp * 32 + 32));
    }

    // What the lanes of this warp hold out to each other; two that follow each other do not meet.
    template <class T> auto exchange(const T& mine) {
        static_assert(sizeof(T) <= sizeof(Held));
        Held* const now = held[turn[current]];
        turn[current] ^= 1;
        memcpy(&now[current], &mine, sizeof mine);
        warp_barrier();
        return [from = now + current / 32 * 32](int lane) {
            T found;
            memcpy(&found, from + lane % 32, sizeof found);
            return found;
        };
    }

    int lane() const { return current % 32; }

  private:
    static constexpr int MOST = 1024, STACK = 64 * 1024, MOST_SHARED = 48 * 1024, GUARD = 64 * 1024;
    static constexpr char POISON = -1;  // as a float, no number
    struct Held {
        char bytes[32];
    };
    int n = 0, n_live = 0, current = 0, n_at_barrier = 0, round = 0, n_idle = 0;
    Outcome outcome = DONE;
    jmp_buf outside, places[MOST];  // where a fiber goes on
    ucontext_t contexts[MOST];
    char* stacks = nullptr;
    bool is_started[MOST], is_done[MOST];
    int n_in_warp[MOST / 32], warp_round[MOST / 32], n_of_warp[MOST / 32], turn[MOST];
    Held held[2][MOST];
    void (*body)(void*);
    void* arguments;

    int next_of(int first, int last) const {  // the next fiber that is not done; itself if alone
        int next = current;
        do next = next + 1 == last ? first : next + 1;
        while (is_done[next] && next != current);
        return next;
    }

    void open_barrier() {
        n_at_barrier = n_idle = 0, ++round;
        memset(n_of_warp, 0, sizeof n_of_warp);
    }

    void wait(int next) {
        if (++n_idle > 4 * n + 64) leave(DEADLOCK);  // nobody has gone on for several rounds
        if (_setjmp(places[current]) == 0) go_to(next);
    }

    [[noreturn]] void go_to(int next) {
        current = next, threadIdx.x = next;
        if (is_started[next]) _longjmp(places[next], 1);
        is_started[next] = true;
        getcontext(&contexts[next]);
        contexts[next].uc_stack.ss_sp = stacks + next * (size_t)STACK;
        contexts[next].uc_stack.ss_size = STACK;
        contexts[next].uc_link = nullptr;
        makecontext(&contexts[next], begin, 0);
        setcontext(&contexts[next]);
        abort();
    }

    [[noreturn]] void leave(Outcome how) {
        outcome = how;
        _longjmp(outside, 1);
    }

    static void begin();
};
static Block block;

inline void Block::begin() {
    block.body(block.arguments);
    block.is_done[block.current] = true, block.n_idle = 0;
    if (--block.n_live == 0) block.leave(DONE);
    if (block.n_at_barrier == block.n_live) block.open_barrier();
    block.go_to(block.next_of(0, block.n));
}

inline void __syncthreads() { block.barrier(); }
inline void __syncwarp(unsigned = 0xffffffffu) { block.warp_barrier(); }
template <class T> T __shfl_sync(unsigned, T value, int from) { return block.exchange(value)(from); }
template <class T> T __shfl_xor_sync(unsigned, T value, int mask) {
    const int from = block.lane() ^ mask;
    return block.exchange(value)(from);
}
inline uint32_t __ballot_sync(unsigned, bool is_set) {
    const auto held = block.exchange((int)is_set);
    uint32_t found = 0;
    for (int lane = 0; lane < 32; ++lane) found |= (uint32_t)held(lane) << lane;
    return found;
}

inline float __uint_as_float(uint32_t bits) { float x; memcpy(&x, &bits, 4); return x; }
inline uint32_t __float_as_uint(float x) { uint32_t bits; memcpy(&bits, &x, 4); return bits; }
inline float __fdividef(float a, float b) { return a / b; }
inline float half_of(uint32_t bits) {
    const uint16_t low = (uint16_t)bits;
    _Float16 x;
    memcpy(&x, &low, 2);
    return (float)x;
}
inline void unpack_halves(uint32_t pair, float& low, float& high) { low = half_of(pair), high = half_of(pair >> 16); }

// mma.sync.m16n8k16, row by column: what each lane holds of A, B and C is in the PTX manual.
inline void multiply_add(float (&c)[4], uint32_t a0, uint32_t a1, uint32_t a2, uint32_t a3, uint32_t b0, uint32_t b1) {
    struct Fragment {
        uint32_t a[4], b[2];
    };
    const auto held = block.exchange(Fragment{{a0, a1, a2, a3}, {b0, b1}});
    const int g = block.lane() / 4, t = block.lane() % 4;
    for (int pair = 0; pair < 8; ++pair) {  // of factors
        float x[2][2], y[2][2];
        for (int one = 0; one < 2; ++one) {  // rows g and g + 8 of A, columns 2 t and 2 t + 1 of B
            unpack_halves(held(g * 4 + pair % 4).a[pair / 4 * 2 + one], x[one][0], x[one][1]);
            unpack_halves(held((2 * t + one) * 4 + pair % 4).b[pair / 4], y[one][0], y[one][1]);
        }
        for (int i = 0; i < 4; ++i) c[i] += x[i / 2][0] * y[i % 2][0] + x[i / 2][1] * y[i % 2][1];
    }
}

inline int __popc(uint32_t x) { return __builtin_popcount(x); }
inline int __ffs(uint32_t x) { return __builtin_ffs((int)x); }
template <class T> T atomicAdd(T* at, T x) { const T old = *at; *at += x; return old; }
template <class T> T atomicOr(T* at, T x) { const T old = *at; *at |= x; return old; }

// Launch as CUDA does: `arguments` are pointers to what the kernel takes.
template <class... A, size_t... I>
int launch_on_cpu(void (*kernel)(A...), const int* grid, int n_threads, int n_shared, void** arguments,
                  std::index_sequence<I...>) {
    auto body = [&] { kernel(*static_cast<A*>(arguments[I])...); };
    auto call = [](void* of) { (*static_cast<decltype(body)*>(of))(); };
    blockDim.x = n_threads, gridDim.x = grid[0], gridDim.y = grid[1];
    for (blockIdx.y = 0; blockIdx.y < gridDim.y; ++blockIdx.y)
        for (blockIdx.x = 0; blockIdx.x < gridDim.x; ++blockIdx.x)
            if (const int outcome = block.run(n_threads, n_shared, call, &body)) return outcome;
    return DONE;
}
template <class... A>
int launch_on_cpu(void (*kernel)(A...), const int* grid, int n_threads, int n_shared, void** arguments) {
    return launch_on_cpu(kernel, grid, n_threads, n_shared, arguments, std::index_sequence_for<A...>{});
}
#define KERNEL_ON_CPU(NAME)                                                                           \
    extern "C" int launch_##NAME(const int* grid, int n_threads, int n_shared, void** arguments) {    \
        return launch_on_cpu(NAME, grid, n_threads, n_shared, arguments);                             \
    }
