// Causal attention backward on tensor cores, in two kernels. With p = exp(scale * q k^T - log_sum_exp) and
// ds = p * (dout v^T - delta): dq = scale * ds k, dk = scale * ds^T q, dv = p^T dout.
#include "kernels/cuda/attention_tiles.cuh"

namespace rowan::cuda {
namespace {

// Keys of a tile: fewer where a warp owns 32 queries, and where the head is wide, or a block would not fit the shared
// memory of GPUs that give it 99 KB.
template <int D>
constexpr int tile_keys = row_groups<D> == 1 && D <= 96 ? 64 : 32;

// dq, and the delta of each query for the kernel after this one: a block owns the queries of a tile of one head and
// walks over the keys before them.
template <int D, bool dropout>
__global__ void __launch_bounds__(attention_threads) query_kernel(AttentionArguments<bfloat16> a) {
  DYN_SHARED(bfloat16, shared);  // queries, their dout, then two buffers of keys and values
  constexpr int rows = tile_keys<D>, groups = row_groups<D>, tile = tile_size<D, block_rows<D>>,
                key_tile = tile_size<D, rows>;
  int head = blockIdx.y, batch = blockIdx.z, kv_head = head / (a.heads / a.kv_heads);
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  int first_query = (gridDim.x - 1 - blockIdx.x) * block_rows<D>;  // the longest rows start first
  int first = first_query + warp * warp_rows<D>;                   // of the warp's
  int begin = a.document_begin(batch, first_query) / rows;         // the tile of keys where its first document begins
  int tiles = (min(first_query + block_rows<D>, a.seq) + rows - 1) / rows;
  const bfloat16 *keys = a.qkv + a.key(batch, kv_head), *values = a.qkv + a.value(batch, kv_head),
                 *douts = a.dout + a.output(batch, head), *outs = a.out + a.output(batch, head);
  auto load_keys = [&](int t) {
    bfloat16* buffer = shared + 2 * tile + t % 2 * 2 * key_tile;
    load_tile<D, rows>(buffer, keys, a.qkv_row(), t * rows, a.seq, a.head_dim);
    load_tile<D, rows>(buffer + key_tile, values, a.qkv_row(), t * rows, a.seq, a.head_dim);
    copy_async_commit();
  };
  load_tile<D, block_rows<D>>(shared, a.qkv + a.query(batch, head), a.qkv_row(), first_query, a.seq, a.head_dim);
  load_tile<D, block_rows<D>>(shared + tile, douts, a.out_row(), first_query, a.seq, a.head_dim);
  load_keys(begin);

  // Of the lane's rows; those beyond the last are not stored. No branches, so that all loads are on their way together.
  float log_sum[groups][2], delta[groups][2];
  int begins[groups][2];
#pragma unroll
  for (int g = 0; g < groups; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = min(first + g * 16 + lane / 4 + half * 8, a.seq - 1);
      const int64_t at = row * a.out_row();
      begins[g][half] = a.document_begin(batch, row);
      float total = 0.0f;
#pragma unroll
      for (int k = 0; k < D; k += 32) {
        int d = k + lane % 4 * 8;
        bool inside = d < a.head_dim;
        float x[8], y[8];
        load(x, douts + at + (inside ? d : 0));
        load(y, outs + at + (inside ? d : 0));
#pragma unroll
        for (int i = 0; i < 8; ++i) total += inside ? x[i] * y[i] : 0.0f;
      }
      total += __shfl_xor_sync(all_lanes, total, 1);
      delta[g][half] = total + __shfl_xor_sync(all_lanes, total, 2);
      log_sum[g][half] = a.log_sum_exp[a.row_values(batch, head) + row] * log2_e;
    }
#pragma unroll
  for (int g = 0; g < groups; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      if (int row = first + g * 16 + lane / 4 + half * 8; lane % 4 == 0 && row < a.seq)
        a.delta[a.row_values(batch, head) + row] = delta[g][half];
  copy_async_wait<0>();
  __syncthreads();
  const KeptRows<D> query_rows(shared);
  const LeftRows<D> dout_rows(shared + tile);
  const int warp_begin = a.document_begin(batch, min(first, a.seq - 1)),
            last_begin = a.document_begin(batch, min(first + warp_rows<D>, a.seq) - 1);
  float sums[groups][D / 8][4] = {}, scale = a.scale * log2_e;
  const uint64_t stream = dropout ? a.dropout.stream(batch) : 0;
  for (int t = begin; t < tiles; ++t) {
    if (t + 1 < tiles) {
      load_keys(t + 1);
      copy_async_wait<1>();
    } else {
      copy_async_wait<0>();
    }
    __syncthreads();
    const bfloat16* buffer = shared + 2 * tile + t % 2 * 2 * key_tile;
    if (int first_key = t * rows; first_key < first + warp_rows<D> && first_key + rows > warp_begin) {
      float s[groups][rows / 8][4], dp[groups][rows / 8][4];
      multiply_transposed<D>(s, query_rows, buffer);
      multiply_transposed<D>(dp, dout_rows, buffer + key_tile);
      if (first_key + rows > first + 1) mask_scores<false>(s, first, first_key);
      if (first_key < last_begin) mask_documents<false>(s, begins, first_key);
      if (dropout) drop<false>(dp, a, stream, head, first, first_key);
#pragma unroll
      for (int g = 0; g < groups; ++g)
#pragma unroll
        for (int j = 0; j < rows / 8; ++j)
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            float p = exp2_approx(s[g][j][i] * scale - log_sum[g][i / 2]);
            s[g][j][i] = p * (dp[g][j][i] - delta[g][i / 2]);
          }
      multiply_add<D>(sums, s, buffer);
    }
    __syncthreads();
  }
  store_rows<D>(a.dqkv + a.query(batch, head), a.qkv_row(), first, a.seq, a.head_dim, sums, a.scale);
}

// Queries of a tile: the two sums take most of the registers.
constexpr int tile_queries = 32;

// dk and dv: a block owns the keys of a tile of one key/value head and walks over the queries after them, of every
// query head that reads these keys. Rows are keys here, so scores are those of the forward transposed.
template <int D, bool dropout>
__global__ void __launch_bounds__(attention_threads) key_value_kernel(AttentionArguments<bfloat16> a) {
  // Keys, values, two buffers of queries and their dout, two of the log sums and deltas of these rows.
  DYN_SHARED(bfloat16, shared);
  constexpr int rows = tile_queries, groups = row_groups<D>, tile = tile_size<D, block_rows<D>>,
                query_tile = tile_size<D, rows>;
  static_assert(2 * rows <= attention_threads);
  float* statistics = reinterpret_cast<float*>(shared + 2 * tile + 4 * query_tile);
  int kv_head = blockIdx.y, batch = blockIdx.z, group = a.heads / a.kv_heads;
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  int first_key = blockIdx.x * block_rows<D>, first = first_key + warp * warp_rows<D>;
  int end =
      a.document_end(batch, min(first_key + block_rows<D>, a.seq) - 1);  // of the queries that see one of the keys
  int begin = first_key / rows, tiles = (end + rows - 1) / rows - begin, rounds = group * tiles;
  auto head_of = [&](int round) { return kv_head * group + round / tiles; };
  auto first_query_of = [&](int round) { return (begin + round % tiles) * rows; };
  auto load_queries = [&](int round) {
    bfloat16* buffer = shared + 2 * tile + round % 2 * 2 * query_tile;
    int head = head_of(round), first_query = first_query_of(round);
    load_tile<D, rows>(buffer, a.qkv + a.query(batch, head), a.qkv_row(), first_query, a.seq, a.head_dim);
    load_tile<D, rows>(buffer + query_tile, a.dout + a.output(batch, head), a.out_row(), first_query, a.seq,
                       a.head_dim);
    if (int i = static_cast<int>(threadIdx.x); i < 2 * rows) {
      const float* from = (i < rows ? a.log_sum_exp : a.delta) + a.row_values(batch, head);
      bool valid = first_query + i % rows < a.seq;
      copy_async_4(statistics + round % 2 * 2 * rows + i, valid ? from + first_query + i % rows : from, valid);
    }
    copy_async_commit();
  };
  load_tile<D, block_rows<D>>(shared, a.qkv + a.key(batch, kv_head), a.qkv_row(), first_key, a.seq, a.head_dim);
  load_tile<D, block_rows<D>>(shared + tile, a.qkv + a.value(batch, kv_head), a.qkv_row(), first_key, a.seq,
                              a.head_dim);
  load_queries(0);

  int ends[groups][2];  // of the documents of the lane's rows
#pragma unroll
  for (int g = 0; g < groups; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half)
      ends[g][half] = a.document_end(batch, min(first + g * 16 + lane / 4 + half * 8, a.seq - 1));
  const int first_end = a.document_end(batch, min(first, a.seq - 1)),
            warp_end = a.document_end(batch, min(first + warp_rows<D>, a.seq) - 1);
  const LeftRows<D> keys(shared), values(shared + tile);
  float dk[groups][D / 8][4] = {}, dv[groups][D / 8][4] = {}, scale = a.scale * log2_e;
  const uint64_t stream = dropout ? a.dropout.stream(batch) : 0;
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
    if (int first_query = first_query_of(round); first_query + rows > first && first_query < warp_end) {
      float p[groups][rows / 8][4], ds[groups][rows / 8][4];
      multiply_transposed<D>(p, keys, buffer);
      multiply_transposed<D>(ds, values, buffer + query_tile);
      if (first_query < first + warp_rows<D> - 1) mask_scores<true>(p, first, first_query);
      if (a.documents && first_query + rows > first_end) mask_documents<true>(p, ends, first_query);
      if (dropout) drop<true>(ds, a, stream, head_of(round), first, first_query);
        // Beyond the last query everything was filled with zeros: p is 1 there, and multiplies zeros.
#pragma unroll
      for (int j = 0; j < rows / 8; ++j) {
        float log_sum[2], delta[2];
        load(log_sum, log_sums + j * 8 + lane % 4 * 2);
        load(delta, log_sums + rows + j * 8 + lane % 4 * 2);
#pragma unroll
        for (int g = 0; g < groups; ++g)
#pragma unroll
          for (int i = 0; i < 4; ++i) {
            p[g][j][i] = exp2_approx(p[g][j][i] * scale - log_sum[i % 2] * log2_e);
            ds[g][j][i] = p[g][j][i] * (ds[g][j][i] - delta[i % 2]);
          }
      }
      if (dropout) drop<true>(p, a, stream, head_of(round), first, first_query);
      multiply_add<D>(dv, p, buffer + query_tile);
      multiply_add<D>(dk, ds, buffer);
    }
    __syncthreads();
  }
  store_rows<D>(a.dqkv + a.key(batch, kv_head), a.qkv_row(), first, a.seq, a.head_dim, dk, a.scale);
  store_rows<D>(a.dqkv + a.value(batch, kv_head), a.qkv_row(), first, a.seq, a.head_dim, dv, 1.0f);
}

}  // namespace

AttentionKernel<bfloat16> tensor_core_backward_query(int64_t head_dim, bool dropout) {
  return for_head_dim(head_dim, dropout, [](auto width, auto drops) {
    constexpr int D = decltype(width)::value;
    constexpr size_t values = 2 * tile_size<D, block_rows<D>> + 4 * tile_size<D, tile_keys<D>>;
    return AttentionKernel<bfloat16>{query_kernel<D, decltype(drops)::value>, block_rows<D>, attention_threads,
                                     values * sizeof(bfloat16)};
  });
}

AttentionKernel<bfloat16> tensor_core_backward_key_value(int64_t head_dim, bool dropout) {
  return for_head_dim(head_dim, dropout, [](auto width, auto drops) {
    constexpr int D = decltype(width)::value;
    constexpr size_t values = 2 * tile_size<D, block_rows<D>> + 4 * tile_size<D, tile_queries>;
    return AttentionKernel<bfloat16>{key_value_kernel<D, decltype(drops)::value>, block_rows<D>, attention_threads,
                                     values * sizeof(bfloat16) + 4 * tile_queries * sizeof(float)};
  });
}

}  // namespace rowan::cuda
