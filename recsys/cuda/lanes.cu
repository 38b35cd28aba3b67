// What all kernels share: numbers of 32 bits, 16-byte loads, and sums over the lanes of a warp.
//
// The sources are put together by recsys/cuda/kernels.py and compiled by NVRTC, which has no standard
// headers; the tests compile them by g++ with tests/cuda/cuda_on_cpu.h, which defines ON_CPU.
#ifndef ON_CPU
using uint32_t = unsigned int;
using int32_t = int;
using size_t = decltype(sizeof(0));
#define SHARED_ARRAY(TYPE, NAME) extern __shared__ TYPE NAME[]
#define SHARED(TYPE, NAME) __shared__ TYPE NAME
#endif

constexpr unsigned ALL_LANES = 0xffffffffu;
constexpr int WARP = 32;

// The shared memory that a launch gives to a block.
template <class T> __device__ __forceinline__ T* shared_array() {
    SHARED_ARRAY(float4, shared);
    return reinterpret_cast<T*>(shared);
}

struct Piece {  // 16 bytes: what a lane loads at once
    uint32_t a, b, c, d;
};

__device__ __forceinline__ Piece load_piece(const char* at) {
#ifdef ON_CPU
    return *reinterpret_cast<const Piece*>(at);
#else
    const uint4 v = __ldg(reinterpret_cast<const uint4*>(at));
    return Piece{v.x, v.y, v.z, v.w};
#endif
}

// Sum over N neighbouring lanes, N a power of two; each of them gets the same bits.
template <int N> __device__ __forceinline__ float sum_of_lanes(float x) {
#pragma unroll
    for (int offset = N / 2; offset > 0; offset /= 2) x += __shfl_xor_sync(ALL_LANES, x, offset);
    return x;
}
