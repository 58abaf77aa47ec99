// A warp of a GPU on a processor: 32 lanes take turns, each until it needs what the others hold.
#pragma once
#include <algorithm>
#include <cmath>
#include <cstring>
#include <memory>
#include <ucontext.h>
#include <vector>

#define EMULATED
#define KEEP_HERE(x)
#define __global__
#define __device__
#define __forceinline__ inline
#define __launch_bounds__(threads)
using std::min;

struct float4 {
    float x, y, z, w;
};
struct Index {
    int x;
};
static Index threadIdx, blockIdx, blockDim;

inline unsigned __float_as_uint(float x)
{
    unsigned bits;
    std::memcpy(&bits, &x, 4);
    return bits;
}

inline float __uint_as_float(unsigned bits)
{
    float x;
    std::memcpy(&x, &bits, 4);
    return x;
}

namespace warp {
const int LANES = 32, WORDS = 6, STACK = 1 << 18;
struct Lane {
    ucontext_t context;
    std::vector<char> stack = std::vector<char>(STACK);
    bool over;
    long turns;
};
static Lane lanes[LANES];
static ucontext_t outside;
static int current;
static float shown[2][LANES][WORDS];  // of this turn and of the one before, which some lanes still read

// Show some numbers to the other lanes; gives where those of all of them lie, once all have come here.
inline const float (*show(std::initializer_list<float> numbers))[WORDS]
{
    const int me = current, turn = lanes[me].turns++ % 2;
    std::copy(numbers.begin(), numbers.end(), shown[turn][me]);
    swapcontext(&lanes[me].context, &outside);
    return shown[turn];
}

template <class Kernel> void lane_of(Kernel* kernel)
{
    (*kernel)();
    lanes[current].over = true;
    swapcontext(&lanes[current].context, &outside);
}

// Run a kernel as so many blocks of so many threads; false where the lanes of a warp did not meet at every turn.
template <class Kernel> bool launch(int blocks, int threads, Kernel kernel)
{
    blockDim.x = threads;
    for (int block = 0; block < blocks; ++block)
        for (int first = 0; first < threads; first += LANES) {
            for (int i = 0; i < LANES; ++i) {
                Lane& lane = lanes[i];
                getcontext(&lane.context);
                lane.context.uc_stack.ss_sp = lane.stack.data();
                lane.context.uc_stack.ss_size = STACK;
                lane.context.uc_link = nullptr;
                lane.over = false;
                lane.turns = 0;
                makecontext(&lane.context, (void (*)()) & lane_of<Kernel>, 1, &kernel);
            }
            for (bool all = false; !all;) {
                all = true;
                for (int i = 0; i < LANES; ++i) {
                    if (lanes[i].over) continue;
                    current = i;
                    blockIdx.x = block;
                    threadIdx.x = first + i;
                    swapcontext(&outside, &lanes[i].context);
                    all = all && lanes[i].over;
                }
                for (int i = 1; i < LANES; ++i)
                    if (lanes[i].turns != lanes[0].turns || lanes[i].over != lanes[0].over) return false;
            }
        }
    return true;
}
}  // namespace warp

inline float __shfl_sync(unsigned, float x, int from) { return warp::show({x})[from][0]; }
inline int __shfl_sync(unsigned, int x, int from) { return (int)__shfl_sync(0u, (float)x, from); }
inline float __shfl_xor_sync(unsigned, float x, int apart)
{
    const int me = warp::current;
    return warp::show({x})[me ^ apart][0];
}
inline int __shfl_xor_sync(unsigned, int x, int apart) { return (int)__shfl_xor_sync(0u, (float)x, apart); }

// mma.m16n8k8 of TF32, its fragments as the PTX ISA lays them out (9.7.14.5, "Matrix Fragments for mma.m16n8k8"). The
// instruction takes no notice of the last 13 bits of a and b; it is said to cut its sums where float32 would round.
inline float cut(double x)
{
    const float near = (float)x;
    return std::fabs((double)near) > std::fabs(x) ? std::nextafterf(near, 0.0f) : near;
}

inline void multiply(float (&c)[4], const float4 a, const float b0, const float b1)
{
    const int me = warp::current, group = me / 4, member = me % 4;
    const float(*of)[warp::WORDS] = warp::show({a.x, a.y, a.z, a.w, b0, b1});
    for (int i = 0; i < 4; ++i) {
        const int row = i < 2 ? group : group + 8, column = 2 * member + i % 2;
        double sum = c[i];
        for (int k = 0; k < 8; ++k) {
            const float left = of[row % 8 * 4 + k % 4][(row < 8 ? 0 : 1) + (k < 4 ? 0 : 2)];
            const float right = of[column * 4 + k % 4][k < 4 ? 4 : 5];
            const unsigned kept = 0xffffe000u;
            sum += (double)__uint_as_float(__float_as_uint(left) & kept) * __uint_as_float(__float_as_uint(right) & kept);
        }
        c[i] = cut(sum);
    }
}
