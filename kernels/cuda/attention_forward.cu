// Causal attention forward on tensor cores. A block computes 64 or 128 queries of one head. It reads keys in tiles of
// 64, from the first key that the block's first query sees to the position of the block's last query. Each query has a
// running maximum of its scores and a running sum of exponentials.
// FLOPs per score: 4 * head_dim. In tiles on the diagonal, masked scores count too. Lower bound on time: these FLOPs at
// the rate of mma.sync, which on Hopper is 62% of the rate of wgmma.
// What was tried:
// 1. For head sizes up to 64, a warp computes 32 rows instead of 16, so each tile is read half as often.
// 2. A warp keeps its queries in registers.
// 3. Exponentials use ex2.approx. Masks are applied only to tiles that may need them.
#include "kernels/cuda/attention_tiles.cuh"

namespace rowan::cuda {
namespace {

constexpr int key_rows = 64, key_tiles = key_rows / 8;

template <int D, bool dropout>
__global__ void __launch_bounds__(attention_threads) forward_kernel(AttentionArguments<bfloat16> a) {
  // Two buffers of keys and values. The second buffer first receives the queries, which are then loaded into registers.
  DYN_SHARED(bfloat16, shared);
  constexpr int key_tile = tile_size<D, key_rows>, groups = row_groups<D>;
  static_assert(block_rows<D> <= 2 * key_rows);
  int head = blockIdx.y, batch = blockIdx.z, kv_head = head / (a.heads / a.kv_heads);
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  int first_query = (gridDim.x - 1 - blockIdx.x) * block_rows<D>;  // blocks with the most keys start first
  int first = first_query + warp * warp_rows<D>;                   // first query of the warp
  int begin = a.document_begin(batch, first_query) / key_rows;  // first tile of keys that the block's first query sees
  int tiles = (min(first_query + block_rows<D>, a.seq) + key_rows - 1) / key_rows;
  const bfloat16 *keys = a.qkv + a.key(batch, kv_head), *values = a.qkv + a.value(batch, kv_head);
  auto load_keys = [&](int t) {
    bfloat16* buffer = shared + (t - begin) % 2 * 2 * key_tile;
    load_tile<D, key_rows>(buffer, keys, a.qkv_row(), t * key_rows, a.seq, a.head_dim);
    load_tile<D, key_rows>(buffer + key_tile, values, a.qkv_row(), t * key_rows, a.seq, a.head_dim);
    copy_async_commit();
  };
  load_tile<D, block_rows<D>>(shared + 2 * key_tile, a.qkv + a.query(batch, head), a.qkv_row(), first_query, a.seq,
                              a.head_dim);
  load_keys(begin);
  copy_async_wait<0>();
  __syncthreads();
  const KeptRows<D> queries(shared + 2 * key_tile);
  __syncthreads();

  const int warp_begin = a.document_begin(batch, min(first, a.seq - 1)),
            last_begin = a.document_begin(batch, min(first + warp_rows<D>, a.seq) - 1);

  // total: the sum of exponentials over this lane's columns only.
  float sums[groups][D / 8][4] = {}, largest[groups][2], total[groups][2] = {};
  for (auto& rows : largest) rows[0] = rows[1] = -INFINITY;
  float scale = a.scale * log2_e;
  const uint64_t stream = dropout ? a.dropout.stream(batch) : 0;
  for (int t = begin; t < tiles; ++t) {
    if (t + 1 < tiles) {
      load_keys(t + 1);
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();
    const bfloat16* buffer = shared + (t - begin) % 2 * 2 * key_tile;
    if (int first_key = t * key_rows; first_key < first + warp_rows<D> && first_key + key_rows > warp_begin) {
      float s[groups][key_tiles][4];
      multiply_transposed<D>(s, queries, buffer);
      if (first_key + key_rows > first + 1) mask_scores<false>(s, first, first_key);
      if (first_key < last_begin) mask_documents<false>(s, a, batch, first, first_key);
#pragma unroll
      for (int g = 0; g < groups; ++g)
#pragma unroll
        for (int half = 0; half < 2; ++half) {
          float top = largest[g][half];
#pragma unroll
          for (int j = 0; j < key_tiles; ++j) top = fmaxf(top, fmaxf(s[g][j][half * 2], s[g][j][half * 2 + 1]));
          top = fmaxf(top, __shfl_xor_sync(all_lanes, top, 1));
          top = fmaxf(top, __shfl_xor_sync(all_lanes, top, 2));
          const float base = top == -INFINITY ? 0.0f : top;  // -infinity: all keys so far are masked
          float shrink = exp2_approx((largest[g][half] - base) * scale), shift = base * scale, sum = 0.0f;
          largest[g][half] = top;
#pragma unroll
          for (int j = 0; j < key_tiles; ++j)
#pragma unroll
            for (int i = 0; i < 2; ++i) {
              float& x = s[g][j][half * 2 + i];
              x = exp2_approx(x * scale - shift);
              sum += x;
            }
          total[g][half] = total[g][half] * shrink + sum;
#pragma unroll
          for (int d = 0; d < D / 8; ++d)
#pragma unroll
            for (int i = 0; i < 2; ++i) sums[g][d][half * 2 + i] *= shrink;
        }
      if (dropout) drop<false>(s, a, stream, head, first, first_key);
      multiply_add<D>(sums, s, buffer + key_tile);
    }
    __syncthreads();  // the next iteration overwrites `buffer`
  }
  float factors[groups][2];
#pragma unroll
  for (int g = 0; g < groups; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      float all = total[g][half];
      all += __shfl_xor_sync(all_lanes, all, 1);
      all += __shfl_xor_sync(all_lanes, all, 2);
      factors[g][half] = 1.0f / all;
      if (int row = first + g * 16 + lane / 4 + half * 8; lane % 4 == 0 && row < a.seq)
        a.log_sum_exp[a.row_values(batch, head) + row] = a.scale * largest[g][half] + logf(all);
    }
  store_rows<D>(a.result + a.output(batch, head), a.out_row(), first, a.seq, a.head_dim, sums, factors);
}

}  // namespace

AttentionKernel<bfloat16> tensor_core_forward(int64_t head_dim, bool dropout) {
  return for_head_dim(head_dim, dropout, [](auto width, auto drops) {
    constexpr int D = decltype(width)::value;
    return AttentionKernel<bfloat16>{forward_kernel<D, decltype(drops)::value>, block_rows<D>, attention_threads,
                                     4 * tile_size<D, key_rows> * sizeof(bfloat16)};
  });
}

}  // namespace rowan::cuda
