// Building blocks of the tensor-core attention kernels: tiles in shared memory, products of mma fragments, masks,
// dropout, inverse RoPE, and stores of results.
//
// A block has 4 warps. A warp computes 32 rows of the result for head sizes up to 64. For larger heads it computes 16
// rows, because more columns need more registers. D is the head size rounded up to 32, 64, 96 or 128. Tiles are zero
// beyond the real head size and the last token.
// Each row of a tile is padded by 16 bytes. Rows are then an odd number of 16-byte units apart, so the 8 rows of each
// matrix that ldmatrix reads lie in different banks.
// Method: Dao, "FlashAttention-2" (2023). The paper's backward sums dq with atomics. These kernels compute each sum in
// a fixed order.
#pragma once

#include "kernels/cuda/attention.h"
#include "kernels/cuda/vector.cuh"

namespace rowan::cuda {

constexpr int attention_warps = 4, attention_threads = attention_warps * warp_size;

// row_groups: groups of 16 rows per warp, where 16 is the height of an mma fragment. warp_rows: rows per warp.
template <int D>
constexpr int row_groups = D <= 64 ? 2 : 1;
template <int D>
constexpr int warp_rows = 16 * row_groups<D>;
template <int D>
constexpr int block_rows = attention_warps* warp_rows<D>;
static_assert(block_rows<64> == attention_block_rows(64) && block_rows<96> == attention_block_rows(96));

template <int D>
constexpr int tile_stride = D + 8;
template <int D, int rows>
constexpr int tile_size = rows* tile_stride<D>;

// Starts the asynchronous copy of rows [first, first + rows) of a [seq, head_dim] matrix whose rows are `stride` apart.
template <int D, int rows>
__device__ __forceinline__ void load_tile(bfloat16* tile, const bfloat16* from, int64_t stride, int first, int seq,
                                          int head_dim) {
  // In one iteration the block's threads copy `deep` rows by `across` groups of 8 elements.
  constexpr int across = D == 96 ? 4 : D / 8, deep = attention_threads / across;
  static_assert(rows % deep == 0 && D % (across * 8) == 0);
  const int row = static_cast<int>(threadIdx.x) / across, column = static_cast<int>(threadIdx.x) % across * 8;
  const bfloat16* line = from + (first + row) * stride + column;
  bfloat16* to = tile + row * tile_stride<D> + column;
  const int left = seq - first - row;
#pragma unroll
  for (int n = 0; n < rows; n += deep) {
#pragma unroll
    for (int c = 0; c < D; c += across * 8) copy_async_16(to + c, line + c, n < left && column + c < head_dim);
    line += deep * stride;
    to += deep * tile_stride<D>;
  }
}

// A warp's rows of a tile as left operands of mma: load(k) reads columns [16 k, 16 k + 16) of each group of 16 rows.
template <int D>
struct LeftRows {
  const bfloat16* row;  // the address that this lane passes to ldmatrix for k = 0 and the first 16 rows

  __device__ __forceinline__ explicit LeftRows(const bfloat16* tile) {
    int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
    row = tile + (warp * warp_rows<D> + lane % 16) * tile_stride<D> + lane / 16 * 8;
  }
  // The same rows of another tile, which lies `offset` elements after the first.
  __device__ __forceinline__ LeftRows(const LeftRows& other, int offset) : row(other.row + offset) {}
  __device__ __forceinline__ void load(uint32_t (&left)[row_groups<D>][4], int k) const {
#pragma unroll
    for (int g = 0; g < row_groups<D>; ++g) ldmatrix_x4<false>(left[g], row + g * 16 * tile_stride<D> + k * 16);
  }
};

// Like LeftRows, but the rows are loaded once and kept in registers.
template <int D>
struct KeptRows {
  uint32_t rows[D / 16][row_groups<D>][4];

  __device__ __forceinline__ explicit KeptRows(const bfloat16* tile) {
    LeftRows<D> from(tile);
#pragma unroll
    for (int k = 0; k < D / 16; ++k) from.load(rows[k], k);
  }
  __device__ __forceinline__ void load(uint32_t (&left)[row_groups<D>][4], int k) const {
#pragma unroll
    for (int g = 0; g < row_groups<D>; ++g)
#pragma unroll
      for (int i = 0; i < 4; ++i) left[g][i] = rows[k][g][i];
  }
};

// s[16 * groups, 8 * tiles] = from[16 * groups, D] b[8 * tiles, D]^T. b points to rows of a tile in shared memory.
// Element (row, column) of group g is s[g][column / 8][row / 8 * 2 + column % 2] of lane row % 8 * 4 + column % 8 / 2.
template <int D, int tiles, typename Left>
__device__ __forceinline__ void multiply_transposed(float (&s)[row_groups<D>][tiles][4], const Left& from,
                                                    const bfloat16* b) {
  int lane = threadIdx.x % warp_size;
#pragma unroll
  for (auto& group : s)
#pragma unroll
    for (auto& fragment : group)
#pragma unroll
      for (float& x : fragment) x = 0.0f;
  const bfloat16* b_row = b + (lane % 8 + lane / 16 * 8) * tile_stride<D> + lane / 8 % 2 * 8;
#pragma unroll
  for (int k = 0; k < D / 16; ++k) {
    uint32_t left[row_groups<D>][4];
    from.load(left, k);
#pragma unroll
    for (int t = 0; t < tiles; t += 2) {
      uint32_t pair[4];
      ldmatrix_x4<false>(pair, b_row + t * 8 * tile_stride<D> + k * 16);
#pragma unroll
      for (int g = 0; g < row_groups<D>; ++g) {
        mma_m16n8k16(s[g][t], left[g], {pair[0], pair[1]});
        mma_m16n8k16(s[g][t + 1], left[g], {pair[2], pair[3]});
      }
    }
  }
}

__device__ __forceinline__ uint32_t pack_bf16(float low, float high) {
  __nv_bfloat162 pair = __floats2bfloat162_rn(low, high);
  uint32_t bits;
  memcpy(&bits, &pair, sizeof bits);
  return bits;
}

// sums[16 * groups, D] += p[16 * groups, 8 * tiles] b[8 * tiles, D], with p rounded to bf16. Two adjacent results of
// mma, rounded to bf16, have the fragment layout of a left operand, so p needs no shuffle.
template <int D, int tiles>
__device__ __forceinline__ void multiply_add(float (&sums)[row_groups<D>][D / 8][4],
                                             const float (&p)[row_groups<D>][tiles][4], const bfloat16* b) {
  int lane = threadIdx.x % warp_size;
  const bfloat16* b_row = b + lane % 16 * tile_stride<D> + lane / 16 * 8;
#pragma unroll
  for (int t = 0; t < tiles; t += 2) {
    uint32_t left[row_groups<D>][4];
#pragma unroll
    for (int g = 0; g < row_groups<D>; ++g)
#pragma unroll
      for (int i = 0; i < 4; ++i) left[g][i] = pack_bf16(p[g][t + i / 2][i % 2 * 2], p[g][t + i / 2][i % 2 * 2 + 1]);
#pragma unroll
    for (int d = 0; d < D / 8; d += 2) {
      uint32_t pair[4];
      ldmatrix_x4<true>(pair, b_row + t * 8 * tile_stride<D> + d * 8);
#pragma unroll
      for (int g = 0; g < row_groups<D>; ++g) {
        mma_m16n8k16(sums[g][d], left[g], {pair[0], pair[1]});
        mma_m16n8k16(sums[g][d + 1], left[g], {pair[2], pair[3]});
      }
    }
  }
}

// Causal mask: sets a score to -infinity if the key comes after the query. `first_row` and `first_column` are the token
// positions of row 0 and column 0. Rows are queries, or keys if `transposed`.
template <bool transposed, int groups, int tiles>
__device__ __forceinline__ void mask_scores(float (&s)[groups][tiles][4], int first_row, int first_column) {
  int lane = threadIdx.x % warp_size;
#pragma unroll
  for (int g = 0; g < groups; ++g)
#pragma unroll
    for (int j = 0; j < tiles; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        int row = first_row + g * 16 + lane / 4 + i / 2 * 8, column = first_column + j * 8 + lane % 4 * 2 + i % 2;
        if (transposed ? column < row : column > row) s[g][j][i] = -INFINITY;
      }
}

// Sets a score to -infinity if the key's document comes before the query's document. Keys of later documents come after
// the query, so mask_scores() masks them. Rows and columns are as in mask_scores().
template <bool transposed, int groups, int tiles>
__device__ __forceinline__ void mask_documents(float (&s)[groups][tiles][4], const AttentionArguments<bfloat16>& a,
                                               int batch, int first_row, int first_column) {
  int lane = threadIdx.x % warp_size;
#pragma unroll
  for (int g = 0; g < groups; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = min(first_row + g * 16 + lane / 4 + half * 8, a.seq - 1);
      const int edge = transposed ? a.document_end(batch, row) : a.document_begin(batch, row);
#pragma unroll
      for (int j = 0; j < tiles; ++j)
#pragma unroll
        for (int i = half * 2; i < half * 2 + 2; ++i) {
          int column = first_column + j * 8 + lane % 4 * 2 + i % 2;
          if (transposed ? column >= edge : column < edge) s[g][j][i] = -INFINITY;
        }
    }
}

// Applies dropout to softmax weights, or to the gradients of softmax weights.
template <bool transposed, int groups, int tiles>
__device__ __forceinline__ void drop(float (&s)[groups][tiles][4], const AttentionArguments<bfloat16>& a,
                                     uint64_t stream, int head, int first_row, int first_column) {
  int lane = threadIdx.x % warp_size;
#pragma unroll
  for (int g = 0; g < groups; ++g)
#pragma unroll
    for (int j = 0; j < tiles; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        int row = first_row + g * 16 + lane / 4 + i / 2 * 8, column = first_column + j * 8 + lane % 4 * 2 + i % 2;
        s[g][j][i] *= transposed ? a.dropped(stream, head, column, row) : a.dropped(stream, head, row, column);
      }
}

// Stores the warp's rows that lie before row `seq`, each multiplied by its factor. The first of the warp's rows is row
// `first`.
template <int D>
__device__ __forceinline__ void store_rows(bfloat16* to, int64_t stride, int first, int seq, int head_dim,
                                           const float (&sums)[row_groups<D>][D / 8][4],
                                           const float (&factors)[row_groups<D>][2]) {
  int lane = threadIdx.x % warp_size;
#pragma unroll
  for (int g = 0; g < row_groups<D>; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int row = first + g * 16 + lane / 4 + half * 8;
      float factor = factors[g][half];
      if (row >= seq) continue;
#pragma unroll
      for (int d = 0; d < D / 8; ++d) {
        int column = d * 8 + lane % 4 * 2;
        if (column < head_dim)
          *reinterpret_cast<uint32_t*>(to + row * stride + column) =
              pack_bf16(sums[g][d][half * 2] * factor, sums[g][d][half * 2 + 1] * factor);
      }
    }
}
template <int D>
__device__ __forceinline__ void store_rows(bfloat16* to, int64_t stride, int first, int seq, int head_dim,
                                           const float (&sums)[row_groups<D>][D / 8][4], float factor) {
  float factors[row_groups<D>][2];
#pragma unroll
  for (int g = 0; g < row_groups<D>; ++g) factors[g][0] = factors[g][1] = factor;
  store_rows<D>(to, stride, first, seq, head_dim, sums, factors);
}

// Undoes RoPE in the warp's rows, which begin at row `first`. The head size must be exactly D. Then both values of a
// pair, which are D / 2 columns apart, are in one lane.
template <int D>
__device__ __forceinline__ void rotate_rows_back(float (&sums)[row_groups<D>][D / 8][4], const float* table, int first,
                                                 int seq) {
  int lane = threadIdx.x % warp_size;
#pragma unroll
  for (int g = 0; g < row_groups<D>; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float* angles = table + int64_t{min(first + g * 16 + lane / 4 + half * 8, seq - 1)} * D + lane % 4 * 2;
#pragma unroll
      for (int d = 0; d < D / 16; ++d) {
        float cosine[2], sine[2];
        load(cosine, angles + d * 8);
        load(sine, angles + D / 2 + d * 8);
#pragma unroll
        for (int i = half * 2; i < half * 2 + 2; ++i)
          rotate_back(sums[g][d][i], sums[g][d + D / 16][i], cosine[i % 2], sine[i % 2]);
      }
    }
}

// Calls choose(Width<D>(), std::bool_constant<dropout>()), where D is head_dim rounded up to 32, 64, 96 or 128.
template <typename F>
auto for_head_dim(int64_t head_dim, bool dropout, F choose) {
  auto with = [&](auto width) { return dropout ? choose(width, std::true_type()) : choose(width, std::false_type()); };
  if (head_dim <= 32) return with(Width<32>());
  if (head_dim <= 64) return with(Width<64>());
  if (head_dim <= 96) return with(Width<96>());
  return with(Width<128>());
}

}  // namespace rowan::cuda
