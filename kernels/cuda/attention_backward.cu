// Causal attention backward on tensor cores, in two kernels. With p = exp(scale * q k^T - log_sum_exp) and
// ds = p * (dout v^T - delta): dq = scale * ds k, dk = scale * ds^T q, dv = p^T dout.
#include "kernels/cuda/attention_tiles.cuh"

namespace rowan::cuda {
namespace {

// Keys of a tile: fewer where the head is wide, or a block would not fit the shared memory of GPUs that give it 99 KB.
template <int D>
constexpr int key_rows = D <= 96 ? 64 : 32;

// dq: a block owns 64 queries of one head and walks over the keys before them.
template <int D>
__global__ void __launch_bounds__(attention_threads) query_kernel(AttentionArguments<bfloat16> a) {
  DYN_SHARED(bfloat16, shared);  // queries, their dout, then two buffers of keys and values
  constexpr int rows = key_rows<D>, key_tiles = rows / 8, tile = tile_size<D, tile_rows>, key_tile = tile_size<D, rows>;
  int head = blockIdx.y, batch = blockIdx.z, kv_head = head / (a.heads / a.kv_heads);
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  int first_query = (gridDim.x - 1 - blockIdx.x) * tile_rows;  // the longest rows start first
  int tiles = (first_query + tile_rows) / rows;
  const bfloat16 *keys = a.qkv + a.key(batch, kv_head), *values = a.qkv + a.value(batch, kv_head);
  auto load_keys = [&](int t) {
    bfloat16* buffer = shared + 2 * tile + t % 2 * 2 * key_tile;
    load_tile<D, rows>(buffer, keys, a.qkv_row(), t * rows, a.seq, a.head_dim);
    load_tile<D, rows>(buffer + key_tile, values, a.qkv_row(), t * rows, a.seq, a.head_dim);
    copy_async_commit();
  };
  load_tile<D, tile_rows>(shared, a.qkv + a.query(batch, head), a.qkv_row(), first_query, a.seq, a.head_dim);
  load_tile<D, tile_rows>(shared + tile, a.dout + a.output(batch, head), a.out_row(), first_query, a.seq, a.head_dim);
  load_keys(0);

  int first = first_query + warp * warp_rows;
  float log_sum[2] = {}, delta[2] = {};  // of the lane's two rows
  for (int half = 0; half < 2; ++half)
    if (int row = first + lane / 4 + half * 8; row < a.seq) {
      log_sum[half] = a.log_sum_exp[a.row_values(batch, head) + row] * log2_e;
      delta[half] = a.delta[a.row_values(batch, head) + row];
    }
  float sums[D / 8][4] = {}, scale = a.scale * log2_e;
  for (int t = 0; t < tiles; ++t) {
    if (t + 1 < tiles) {
      load_keys(t + 1);
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();
    const bfloat16* buffer = shared + 2 * tile + t % 2 * 2 * key_tile;
    int first_key = t * rows;
    bool masked = first_key + rows > first_query + 1;  // some key comes after some query
    float s[key_tiles][4], dp[key_tiles][4];
    multiply_transposed<D>(s, shared + warp * warp_rows * tile_stride<D>, buffer);
    multiply_transposed<D>(dp, shared + tile + warp * warp_rows * tile_stride<D>, buffer + key_tile);
#pragma unroll
    for (int j = 0; j < key_tiles; ++j)
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        int query = first + lane / 4 + i / 2 * 8, key = first_key + j * 8 + lane % 4 * 2 + i % 2;
        float p = masked && key > query ? 0.0f : exp2f(s[j][i] * scale - log_sum[i / 2]);
        s[j][i] = p * (dp[j][i] - delta[i / 2]);
      }
    multiply_add<D>(sums, s, buffer);
    __syncthreads();
  }
  store_rows<D>(a.dqkv + a.query(batch, head), a.qkv_row(), first, a.seq, a.head_dim, sums, a.scale, a.scale);
}

// Queries of a tile: fewer where the head is wide and the two sums take the registers.
template <int D>
constexpr int query_rows = D <= 64 ? 64 : 32;

// dk and dv: a block owns 64 keys of one key/value head and walks over the queries after them, of every query head
// that reads these keys. Rows are keys here, so scores are those of the forward transposed.
template <int D>
__global__ void __launch_bounds__(attention_threads, D <= 64 ? 3 : 1) key_value_kernel(AttentionArguments<bfloat16> a) {
  // Keys, values, two buffers of queries and their dout, two of the log sums and deltas of these rows.
  DYN_SHARED(bfloat16, shared);
  constexpr int rows = query_rows<D>, query_tiles = rows / 8, tile = tile_size<D, tile_rows>,
                query_tile = tile_size<D, rows>;
  static_assert(2 * rows <= attention_threads);
  float* statistics = reinterpret_cast<float*>(shared + 2 * tile + 4 * query_tile);
  int kv_head = blockIdx.y, batch = blockIdx.z, group = a.heads / a.kv_heads;
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  int first_key = blockIdx.x * tile_rows;
  int begin = first_key / rows, tiles = (a.seq + rows - 1) / rows - begin, rounds = group * tiles;
  auto head_of = [&](int round) { return kv_head * group + round / tiles; };
  auto first_query_of = [&](int round) { return (begin + round % tiles) * rows; };
  auto load_queries = [&](int round) {
    bfloat16* buffer = shared + 2 * tile + round % 2 * 2 * query_tile;
    int head = head_of(round), first = first_query_of(round);
    load_tile<D, rows>(buffer, a.qkv + a.query(batch, head), a.qkv_row(), first, a.seq, a.head_dim);
    load_tile<D, rows>(buffer + query_tile, a.dout + a.output(batch, head), a.out_row(), first, a.seq, a.head_dim);
    if (int i = static_cast<int>(threadIdx.x); i < 2 * rows) {
      const float* from = (i < rows ? a.log_sum_exp : a.delta) + a.row_values(batch, head);
      bool valid = first + i % rows < a.seq;
      copy_async_4(statistics + round % 2 * 2 * rows + i, valid ? from + first + i % rows : from, valid);
    }
    copy_async_commit();
  };
  load_tile<D, tile_rows>(shared, a.qkv + a.key(batch, kv_head), a.qkv_row(), first_key, a.seq, a.head_dim);
  load_tile<D, tile_rows>(shared + tile, a.qkv + a.value(batch, kv_head), a.qkv_row(), first_key, a.seq, a.head_dim);
  load_queries(0);

  float dk[D / 8][4] = {}, dv[D / 8][4] = {}, scale = a.scale * log2_e;
  int first = first_key + warp * warp_rows;
  for (int round = 0; round < rounds; ++round) {
    if (round + 1 < rounds) {
      load_queries(round + 1);
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();
    const bfloat16* buffer = shared + 2 * tile + round % 2 * 2 * query_tile;
    const float* log_sums = statistics + round % 2 * 2 * rows;
    int first_query = first_query_of(round);
    bool masked = first_query + 1 < first_key + tile_rows;  // some query comes before some key
    float p[query_tiles][4], ds[query_tiles][4];
    multiply_transposed<D>(p, shared + warp * warp_rows * tile_stride<D>, buffer);
    multiply_transposed<D>(ds, shared + tile + warp * warp_rows * tile_stride<D>, buffer + query_tile);
    // Beyond the last query everything was filled with zeros: p is 1 there, and multiplies zeros.
#pragma unroll
    for (int j = 0; j < query_tiles; ++j) {
      int column = j * 8 + lane % 4 * 2;
      float log_sum[2], delta[2];
      load(log_sum, log_sums + column);
      load(delta, log_sums + rows + column);
#pragma unroll
      for (int i = 0; i < 4; ++i) {
        int key = first + lane / 4 + i / 2 * 8, query = first_query + column + i % 2;
        p[j][i] = masked && query < key ? 0.0f : exp2f(p[j][i] * scale - log_sum[i % 2] * log2_e);
        ds[j][i] = p[j][i] * (ds[j][i] - delta[i % 2]);
      }
    }
    multiply_add<D>(dv, p, buffer + query_tile);
    multiply_add<D>(dk, ds, buffer);
    __syncthreads();
  }
  store_rows<D>(a.dqkv + a.key(batch, kv_head), a.qkv_row(), first, a.seq, a.head_dim, dk, a.scale, a.scale);
  store_rows<D>(a.dqkv + a.value(batch, kv_head), a.qkv_row(), first, a.seq, a.head_dim, dv, 1.0f, 1.0f);
}

}  // namespace

AttentionKernel<bfloat16> tensor_core_backward_query(int64_t head_dim) {
  return for_head_dim(head_dim, [](auto width) {
    constexpr int D = decltype(width)::value;
    return AttentionKernel<bfloat16>{query_kernel<D>, tile_rows, attention_threads,
                                     (2 * tile_size<D, tile_rows> + 4 * tile_size<D, key_rows<D>>)*sizeof(bfloat16)};
  });
}

AttentionKernel<bfloat16> tensor_core_backward_key_value(int64_t head_dim) {
  return for_head_dim(head_dim, [](auto width) {
    constexpr int D = decltype(width)::value;
    return AttentionKernel<bfloat16>{key_value_kernel<D>, tile_rows, attention_threads,
                                     (2 * tile_size<D, tile_rows> + 4 * tile_size<D, query_rows<D>>)*sizeof(bfloat16) +
                                         4 * query_rows<D> * sizeof(float)};
  });
}

}  // namespace rowan::cuda
