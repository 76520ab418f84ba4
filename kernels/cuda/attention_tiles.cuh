// The pieces of the tensor-core attention kernels: tiles in shared memory and two products on fragments.
//
// A block has 4 warps; each owns 16 rows of the result. D is the head size rounded up to 32, 64, 96 or 128; tiles are
// filled with zeros beyond the real head size and the last token. A tile's row is padded by 16 bytes, so that the 8
// rows that ldmatrix reads together lie in different banks (an odd number of 16-byte units apart).
// Method: Dao, "FlashAttention-2" (2023). Its dq is summed by atomics; here the backward computes the scores twice,
// once for the rows of dq and once for those of dk and dv, so that each sum has one owner and a fixed order.
#pragma once

#include "kernels/cuda/attention.h"
#include "kernels/cuda/vector.cuh"

namespace rowan::cuda {

constexpr int attention_warps = 4, attention_threads = attention_warps * warp_size, warp_rows = 16,
              tile_rows = attention_warps * warp_rows;
constexpr float log2_e = 1.4426950408889634f, ln_2 = 0.6931471805599453f;

template <int D>
constexpr int tile_stride = D + 8;
template <int D, int rows>
constexpr int tile_size = rows* tile_stride<D>;

// Starts the copy of rows [first, first + rows) of a [seq, head_dim] matrix whose rows are `stride` apart.
template <int D, int rows>
__device__ __forceinline__ void load_tile(bfloat16* tile, const bfloat16* from, int64_t stride, int first, int seq,
                                          int head_dim) {
  constexpr int chunks = D / 8;
#pragma unroll
  for (int i = threadIdx.x; i < rows * chunks; i += attention_threads) {
    int row = i / chunks, column = i % chunks * 8;
    bool valid = first + row < seq && column < head_dim;
    copy_async_16(tile + row * tile_stride<D> + column, valid ? from + (first + row) * stride + column : from, valid);
  }
}

// s[16, 8 * tiles] = a[16, D] b[8 * tiles, D]^T; a and b are rows of tiles, a the warp's own.
// Element (row, column) of a fragment: s[column / 8][(row / 8) * 2 + column % 2] of lane (row % 8) * 4 + column % 8
// / 2.
template <int D, int tiles>
__device__ __forceinline__ void multiply_transposed(float (&s)[tiles][4], const bfloat16* a, const bfloat16* b) {
  int lane = threadIdx.x % warp_size;
#pragma unroll
  for (int t = 0; t < tiles; ++t)
#pragma unroll
    for (int i = 0; i < 4; ++i) s[t][i] = 0.0f;
  const bfloat16* a_row = a + lane % 16 * tile_stride<D> + lane / 16 * 8;
  const bfloat16* b_row = b + (lane % 8 + lane / 16 * 8) * tile_stride<D> + lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < D; k += 16) {
    uint32_t left[4];
    ldmatrix_x4<false>(left, a_row + k);
#pragma unroll
    for (int t = 0; t < tiles; t += 2) {
      uint32_t pair[4];
      ldmatrix_x4<false>(pair, b_row + t * 8 * tile_stride<D> + k);
      mma_m16n8k16(s[t], left, {pair[0], pair[1]});
      mma_m16n8k16(s[t + 1], left, {pair[2], pair[3]});
    }
  }
}

__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

// sums[16, D] += p[16, 8 * tiles] b[8 * tiles, D]; p is rounded to bf16: a result's fragments are operands as they are.
template <int D, int tiles>
__device__ __forceinline__ void multiply_add(float (&sums)[D / 8][4], const float (&p)[tiles][4], const bfloat16* b) {
  int lane = threadIdx.x % warp_size;
  const bfloat16* b_row = b + lane % 16 * tile_stride<D> + lane / 16 * 8;
#pragma unroll
  for (int t = 0; t < tiles; t += 2) {
    uint32_t left[4] = {pack_bf16(p[t][0], p[t][1]), pack_bf16(p[t][2], p[t][3]), pack_bf16(p[t + 1][0], p[t + 1][1]),
                        pack_bf16(p[t + 1][2], p[t + 1][3])};
#pragma unroll
    for (int d = 0; d < D / 8; d += 2) {
      uint32_t pair[4];
      ldmatrix_x4<true>(pair, b_row + t * 8 * tile_stride<D> + d * 8);
      mma_m16n8k16(sums[d], left, {pair[0], pair[1]});
      mma_m16n8k16(sums[d + 1], left, {pair[2], pair[3]});
    }
  }
}

// Writes the warp's 16 rows from `first` on, times a factor for each of the lane's two rows.
template <int D>
__device__ __forceinline__ void store_rows(bfloat16* to, int64_t stride, int first, int seq, int head_dim,
                                           const float (&sums)[D / 8][4], float upper_factor, float lower_factor) {
  int lane = threadIdx.x % warp_size;
#pragma unroll
  for (int half = 0; half < 2; ++half) {
    int row = first + lane / 4 + half * 8;
    float factor = half ? lower_factor : upper_factor;
    if (row >= seq) continue;
#pragma unroll
    for (int d = 0; d < D / 8; ++d) {
      int column = d * 8 + lane % 4 * 2;
      if (column < head_dim)
        *reinterpret_cast<uint32_t*>(to + row * stride + column) =
            pack_bf16(sums[d][half * 2] * factor, sums[d][half * 2 + 1] * factor);
    }
  }
}

// choose(Width<D>) for the smallest D that holds the head.
template <typename F>
auto for_head_dim(int64_t head_dim, F choose) {
  if (head_dim <= 32) return choose(Width<32>());
  if (head_dim <= 64) return choose(Width<64>());
  if (head_dim <= 96) return choose(Width<96>());
  return choose(Width<128>());
}

}  // namespace rowan::cuda
