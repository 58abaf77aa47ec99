// Deconvolution by one matrix on tensor cores, float32 as three products of TF32: the peak of matrix x curve a voxel.
//
// Compiled with STEPS, eights of samples; TILES, columns of eight voxels that a warp keeps at a time (1, 2 or 4); and
// STORED, whether the signal comes as it is stored (1) or curves do (0). Every number is split into a large part that
// TF32 holds and what is left of it: large x large + large x left + left x large misses 2^-20 of a product. Tensor cores
// cut their sums where float32 rounds: eight samples are summed there, and the eights outside. A warp takes 32 voxels,
// lane i writes what becomes of voxel i of them, and no memory is shared: the pieces of the matrix lie in the order in
// which lanes read them, and stay in the first cache.

#define ARRAY(type, name) type* name, int name##_rows, int name##_columns
#define WARP 32
#define FULL 0xffffffffu
#define LOWEST -3e38f
#define FINITE 3e38f
#define TINY 1e-30f
enum { GOOD = 0, NOT_FINITE = 1, MISSING_SAMPLE = 2, NO_BASELINE = 3, NO_SIGNAL = 4, NO_SOLUTION = 5 };

#ifndef EMULATED
// What follows from x is computed where it is used: both parts of all samples would need twice the registers.
#define KEEP_HERE(x) asm volatile("" : "+f"(x))

// c (16 x 8) += a (16 x 8) b (8 x 8); a lane holds rows lane / 4 and that + 8 of a and c, column lane / 4 of b.
__device__ __forceinline__ void multiply(float (&c)[4], const float4 a, const float b0, const float b1)
{
    asm("mma.sync.aligned.m16n8k8.row.col.f32.tf32.tf32.f32 {%0, %1, %2, %3}, {%4, %5, %6, %7}, {%8, %9}, "
        "{%0, %1, %2, %3};"
        : "+f"(c[0]), "+f"(c[1]), "+f"(c[2]), "+f"(c[3])
        : "r"(__float_as_uint(a.x)), "r"(__float_as_uint(a.y)), "r"(__float_as_uint(a.z)),
          "r"(__float_as_uint(a.w)), "r"(__float_as_uint(b0)), "r"(__float_as_uint(b1)));
}
#endif

// The nearest number that TF32 holds: ten bits of mantissa, halves away from zero.
__device__ __forceinline__ float to_tf32(const float x)
{
    return __uint_as_float((__float_as_uint(x) + 0x1000u) & 0xffffe000u);
}

// The sum, least or greatest over the four lanes that hold the samples of one voxel.
__device__ __forceinline__ float sum_of_four(float x)
{
    x += __shfl_xor_sync(FULL, x, 1);
    return x + __shfl_xor_sync(FULL, x, 2);
}

__device__ __forceinline__ float least_of_four(float x)
{
    x = fminf(x, __shfl_xor_sync(FULL, x, 1));
    return fminf(x, __shfl_xor_sync(FULL, x, 2));
}

extern "C" __global__ void __launch_bounds__(128) by_tensor_cores(
#if STORED
    ARRAY(const long long, rows), ARRAY(const short, series), const float slope, const float inter, const int first,
    const int stop, const float saturation, const float weight,
#else
    ARRAY(const float, curves),
#endif
    ARRAY(const float4, pieces), const int length, const int turn, ARRAY(float, top), ARRAY(float, at),
    ARRAY(unsigned char, state), ARRAY(float, written))
{
#if STORED
    const int times = series_rows, count = rows_columns;
#else
    const int times = curves_rows, count = curves_columns;
#endif
    const int thread = blockIdx.x * blockDim.x + threadIdx.x;
    const int lane = thread % WARP, group = lane / 4, member = lane % 4, begin = thread - lane;
    for (int part = 0; part < 4; part += TILES) {
        float sample[STEPS][TILES][2];
        int own_state = GOOD;
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            const long long voxel = min(begin + 4 * group + part + tile, count - 1);
            float total = 0.0f;
#if STORED
            const short* source = series + rows[voxel];
            float low = FINITE, high = FINITE, base = 0.0f;
#else
            const float* source = curves + voxel;
#endif
#pragma unroll
            for (int k = 0; k < 2 * STEPS; ++k) {
                const int t = 4 * k + member;
                float x = 0.0f;
                if (t < times) {
#if STORED
                    x = source[(long long)t * series_columns];
                    low = fminf(low, x);
                    high = fminf(high, -x);
                    base += t >= first && t < stop ? x : 0.0f;
#else
                    x = source[(long long)t * count];
#endif
                }
                total += x;
                sample[k / 2][tile][k % 2] = x;
            }
            total = sum_of_four(total);
            int judged = fabsf(total) <= FINITE ? GOOD : NOT_FINITE;
#if STORED
            low = least_of_four(low);
            high = -least_of_four(high);
            const float mean = slope * (sum_of_four(base) / (stop - first)) + inter;
            const float lowest = slope * (slope > 0.0f ? low : high) + inter;
            if (low == high)
                judged = NO_SIGNAL;
            else if (!(mean > TINY))
                judged = NO_BASELINE;
            else if (!(lowest > TINY) || high >= saturation)
                judged = MISSING_SAMPLE;
            const float share = 1.0f / mean;
#endif
            if (member == part + tile) own_state = judged;
#if STORED
#pragma unroll
            for (int k = 0; k < 2 * STEPS; ++k) {
                const bool known = judged == GOOD && 4 * k + member < times;
                const float x = slope * sample[k / 2][tile][k % 2] + inter;
                sample[k / 2][tile][k % 2] = known ? weight * logf(x * share) : 0.0f;
            }
#endif
        }
        float best[TILES][2];
        int place[TILES][2];
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            best[tile][0] = best[tile][1] = LOWEST;
            place[tile][0] = place[tile][1] = 0;
        }
        const float4* piece = pieces + lane;
#pragma unroll 1
        for (int row = 0; row < length; row += 16) {
            float f[TILES][4] = {};
#pragma unroll
            for (int k = 0; k < STEPS; ++k) {
                const float4 a_large = piece[0], a_left = piece[WARP];
                piece += 2 * WARP;
                float eight[TILES][4] = {}, large[TILES][2], left[TILES][2];
#pragma unroll
                for (int tile = 0; tile < TILES; ++tile)
#pragma unroll
                    for (int half = 0; half < 2; ++half) {
                        float x = sample[k][tile][half];
                        KEEP_HERE(x);
                        large[tile][half] = to_tf32(x);
                        left[tile][half] = x - large[tile][half];  // its last 13 bits are not looked at
                    }
#pragma unroll
                for (int tile = 0; tile < TILES; ++tile) multiply(eight[tile], a_left, large[tile][0], large[tile][1]);
#pragma unroll
                for (int tile = 0; tile < TILES; ++tile) multiply(eight[tile], a_large, left[tile][0], left[tile][1]);
#pragma unroll
                for (int tile = 0; tile < TILES; ++tile) multiply(eight[tile], a_large, large[tile][0], large[tile][1]);
#pragma unroll
                for (int tile = 0; tile < TILES; ++tile)
#pragma unroll
                    for (int i = 0; i < 4; ++i) f[tile][i] += eight[tile][i];
            }
#pragma unroll
            for (int tile = 0; tile < TILES; ++tile) {
#pragma unroll
                for (int i = 0; i < 4; ++i) {
                    const int j = row + group + i / 2 * 8, side = i % 2;
                    if (f[tile][i] > best[tile][side]) {
                        best[tile][side] = f[tile][i];
                        place[tile][side] = j;
                    }
                    const int voxel = begin + 4 * (2 * member + side) + part + tile;
                    if (written_columns > 0 && j < length && voxel < count)
                        written[(long long)j * written_columns + voxel] = f[tile][i];
                }
            }
        }
        float own_peak = 0.0f;
        int own_place = 0;
#pragma unroll
        for (int tile = 0; tile < TILES; ++tile) {
            float peak[2];
            int where[2];
#pragma unroll
            for (int side = 0; side < 2; ++side) {
                float most = best[tile][side];
                int its = place[tile][side];
#pragma unroll
                for (int apart = 4; apart < WARP; apart *= 2) {
                    const float other = __shfl_xor_sync(FULL, most, apart);
                    const int others = __shfl_xor_sync(FULL, its, apart);
                    if (other > most || (other == most && others < its)) {
                        most = other;
                        its = others;
                    }
                }
                peak[side] = __shfl_sync(FULL, most, group / 2);
                where[side] = __shfl_sync(FULL, its, group / 2);
            }
            if (member == part + tile) {
                own_peak = group % 2 ? peak[1] : peak[0];
                own_place = group % 2 ? where[1] : where[0];
            }
        }
        const int voxel = begin + lane;
        if (voxel < count && member >= part && member < part + TILES) {
            if (own_state != GOOD || !(own_peak > 0.0f)) {
                state[voxel] = own_state != GOOD ? own_state : NO_SOLUTION;
            } else {
                top[voxel] = own_peak;
                at[voxel] = own_place - (own_place >= turn ? length : 0);
            }
        }
    }
}
