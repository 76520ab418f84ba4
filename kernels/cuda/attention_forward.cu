// Causal attention forward on tensor cores: a block computes 64 queries of one head against all keys before them, in
// tiles of 64 keys, with a running maximum and sum (in base 2) per query.
#include "kernels/cuda/attention_tiles.cuh"

namespace rowan::cuda {
namespace {

constexpr int key_tiles = tile_rows / 8;

template <int D>
__global__ void __launch_bounds__(attention_threads) forward_kernel(AttentionArguments<bfloat16> a) {
  DYN_SHARED(bfloat16, shared);  // queries, then two buffers of keys and values
  constexpr int tile = tile_size<D, tile_rows>;
  int head = blockIdx.y, batch = blockIdx.z, kv_head = head / (a.heads / a.kv_heads);
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  int last = gridDim.x - 1 - blockIdx.x, first_query = last * tile_rows;  // the longest rows start first
  const bfloat16 *keys = a.qkv + a.key(batch, kv_head), *values = a.qkv + a.value(batch, kv_head);
  auto load_keys = [&](int t) {
    bfloat16* buffer = shared + (1 + t % 2 * 2) * tile;
    load_tile<D, tile_rows>(buffer, keys, a.qkv_row(), t * tile_rows, a.seq, a.head_dim);
    load_tile<D, tile_rows>(buffer + tile, values, a.qkv_row(), t * tile_rows, a.seq, a.head_dim);
    copy_async_commit();
  };
  load_tile<D, tile_rows>(shared, a.qkv + a.query(batch, head), a.qkv_row(), first_query, a.seq, a.head_dim);
  load_keys(0);

  float sums[D / 8][4] = {}, largest[2] = {-INFINITY, -INFINITY}, total[2] = {};
  float scale = a.scale * log2_e;
  for (int t = 0; t <= last; ++t) {
    if (t < last) {
      load_keys(t + 1);
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();
    const bfloat16* buffer = shared + (1 + t % 2 * 2) * tile;
    float s[key_tiles][4];
    multiply_transposed<D>(s, shared + warp * warp_rows * tile_stride<D>, buffer);
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      int query = warp * warp_rows + lane / 4 + half * 8;  // within the tile; on the diagonal keys share its origin
      float top = largest[half];
#pragma unroll
      for (int j = 0; j < key_tiles; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& x = s[j][half * 2 + i];
          x = t == last && j * 8 + lane % 4 * 2 + i > query ? -INFINITY : x * scale;
          top = fmaxf(top, x);
        }
      top = fmaxf(top, __shfl_xor_sync(all_lanes, top, 1));
      top = fmaxf(top, __shfl_xor_sync(all_lanes, top, 2));
      float shrink = exp2f(largest[half] - top), sum = 0.0f;
      largest[half] = top;
#pragma unroll
      for (int j = 0; j < key_tiles; ++j)
#pragma unroll
        for (int i = 0; i < 2; ++i) {
          float& x = s[j][half * 2 + i];
          x = exp2f(x - top);
          sum += x;
        }
      sum += __shfl_xor_sync(all_lanes, sum, 1);
      sum += __shfl_xor_sync(all_lanes, sum, 2);
      total[half] = total[half] * shrink + sum;
#pragma unroll
      for (int d = 0; d < D / 8; ++d)
#pragma unroll
        for (int i = 0; i < 2; ++i) sums[d][half * 2 + i] *= shrink;
    }
    multiply_add<D>(sums, s, buffer + tile);
    __syncthreads();  // before the next round loads over this buffer
  }
  int first = first_query + warp * warp_rows;
  store_rows<D>(a.result + a.output(batch, head), a.out_row(), first, a.seq, a.head_dim, sums, 1.0f / total[0],
                1.0f / total[1]);
  if (lane % 4 == 0)
    for (int half = 0; half < 2; ++half)
      if (int row = first + lane / 4 + half * 8; row < a.seq)
        a.log_sum_exp[a.row_values(batch, head) + row] = ln_2 * largest[half] + logf(total[half]);
}

}  // namespace

AttentionKernel<bfloat16> tensor_core_forward(int64_t head_dim) {
  return for_head_dim(head_dim, [](auto width) {
    constexpr int D = decltype(width)::value;
    return AttentionKernel<bfloat16>{forward_kernel<D>, tile_rows, attention_threads,
                                     5 * tile_size<D, tile_rows> * sizeof(bfloat16)};
  });
}

}  // namespace rowan::cuda
