// Causal attention backward on tensor cores. Let p = exp(scale * q k^T - log_sum_exp), delta = dot(dout, out) of each
// row and ds = p * (dout v^T - delta). Without dropout, dq = scale * ds k, dk = scale * ds^T q and dv = p^T dout.
//
// There are two variants. attention_owners() in kernels/gpu_workspace.h selects one. Neither uses atomics, so the order
// of summation is fixed.
// * With owners: one kernel computes dq, dk and dv. An owner is a block that, for one key/value head of a sequence,
//   processes all tiles of keys or every owners-th tile. For each tile of keys it iterates over the queries that attend
//   to these keys. dk and dv stay in registers. Each owner adds up its part of dq in fp32 in global memory, where the
//   same thread always adds to the same element. This takes five matrix products per score.
// * Without owners: two kernels. The first computes dq, with one block per tile of queries of a head. The second
//   computes dk and dv, with one block per tile of keys of a key/value head, and computes the scores again. This takes
//   seven matrix products per score.
//
// Bytes of the first variant beyond its operands and results: each tile of keys comes back to the sums of dq of all its
// queries, and to their q and dout. A head has 8 bytes per query and column of these. At head_dim 64, 264 resident
// blocks of an H200 come back to 35 MB at T 256, which fit into its L2 cache of 50 MB, but to 138 MB at T 1024, which
// do not: GPT-2 124M with 64 x 1024 tokens moves about 25 GB more per step, 6 ms at the rate of a copy, beside the
// 15 ms of the FLOPs.
// FLOPs per score: 10 * head_dim or 14 * head_dim. In tiles on the diagonal, masked scores count too. Lower bound on
// time: these FLOPs at the rate of mma.sync, which on Hopper is 62% of the rate of wgmma. At head_dim 64, a warp of the
// first variant issues 72 ldmatrix and 160 mma per tile of queries, so shared memory limits the speed more than
// mma.sync does.
// The sums of dq are never in shared memory. For T 256 and head_dim 64 they would take 64 KB beside the 65 KB of the
// other arrays, so only one block of four warps would fit on a multiprocessor instead of two, and at that T the L2
// cache holds them.
// What was tried:
// 1. For head sizes up to 64, a warp computes 32 rows instead of 16, so each tile is read half as often. The query
//    kernel keeps its queries in registers.
// 2. The query kernel computes delta itself, which saves a separate pass over dout and out.
// 3. If head_dim is a multiple of 32, the kernels undo RoPE in registers before they store dq and dk, which saves a
//    separate pass over dq and dk.
#include "kernels/cuda/attention_tiles.cuh"

namespace rowan::cuda {
namespace {

// Number of keys in a tile of the query kernel. It is 32 for D <= 64, where a warp's 32 queries take many registers. It
// is also 32 for D = 128, where 64 keys would exceed the 99 KB of shared memory that some GPUs offer.
template <int D>
constexpr int tile_keys = row_groups<D> == 1 && D <= 96 ? 64 : 32;

// Computes dq, and delta for the key-value kernel that follows. A block processes a tile of queries of one head. It
// iterates over the tiles of keys that these queries attend to.
template <int D, bool dropout>
__global__ void __launch_bounds__(attention_threads) query_kernel(AttentionArguments<bfloat16> a) {
  DYN_SHARED(bfloat16, shared);  // queries, dout, then two buffers of keys and values
  constexpr int rows = tile_keys<D>, groups = row_groups<D>, tile = tile_size<D, block_rows<D>>,
                key_tile = tile_size<D, rows>;
  int head = blockIdx.y, batch = blockIdx.z, kv_head = head / (a.heads / a.kv_heads);
  int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  int first_query = (gridDim.x - 1 - blockIdx.x) * block_rows<D>;  // later queries, usually with more keys, start first
  int first = first_query + warp * warp_rows<D>;                   // first query of the warp
  int begin = a.document_begin(batch, first_query) / rows;  // first tile of keys that the block's first query sees
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

  // The lane's rows of log_sum_exp (in base 2) and of delta. A row beyond the last token reads the last token's values,
  // and its result is not stored. There are no branches, so all loads can be in flight together.
  float log_sum[groups][2], delta[groups][2];
#pragma unroll
  for (int g = 0; g < groups; ++g)
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int row = min(first + g * 16 + lane / 4 + half * 8, a.seq - 1);
      const int64_t at = row * a.out_row();
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
      if (first_key < last_begin) mask_documents<false>(s, a, batch, first, first_key);
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
  if (a.rope) rotate_rows_back<D>(sums, a.rope, first, a.seq);
  store_rows<D>(a.dqkv + a.query(batch, head), a.qkv_row(), first, a.seq, a.head_dim, sums, a.scale);
}

// Row stride, in elements, of ds [keys, queries] in shared memory. Rows are padded as in tiles (attention_tiles.cuh).
constexpr int score_stride = tile_queries + 8;

// One warp's part of dq [tile_queries, D] for a tile of queries: 16 queries, and two quarters of the columns that begin
// D / 2 columns apart. D is head_dim rounded up (attention_tiles.cuh). If head_dim is D, both values of a pair that
// RoPE rotates are in one lane.
template <int D>
struct QueryPart {
  static constexpr int pairs = D / 32;  // groups of 8 columns in a quarter of the columns
  float sums[2 * pairs][4];

  static __device__ __forceinline__ int first_row() { return threadIdx.x / warp_size % 2 * 16; }
  static __device__ __forceinline__ int first_column() { return threadIdx.x / warp_size / 2 * (D / 4); }
  // First column of sums[j].
  static __device__ __forceinline__ int column(int j) { return first_column() + j % pairs * 8 + j / pairs * (D / 2); }

  // Loads this part of the fp32[tile_queries, D] partial sums at `from`, or sets `sums` to 0 if `zeros`.
  __device__ __forceinline__ void load(const float* from, bool zeros) {
    const int lane = threadIdx.x % warp_size;
#pragma unroll
    for (int j = 0; j < 2 * pairs; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half) {
        const float* at = from + (first_row() + lane / 4 + half * 8) * D + column(j) + lane % 4 * 2;
        const float2 pair = zeros ? float2{0.0f, 0.0f} : *reinterpret_cast<const float2*>(at);
        sums[j][half * 2] = pair.x;
        sums[j][half * 2 + 1] = pair.y;
      }
  }
  // sums += ds^T k over the first `count` keys of the tile. `count` is a multiple of 16.
  __device__ __forceinline__ void add(const bfloat16* ds, const bfloat16* keys, int count) {
    const int lane = threadIdx.x % warp_size;
    const bfloat16* left_row = ds + (lane / 16 * 8 + lane % 8) * score_stride + first_row() + lane / 8 % 2 * 8;
    const bfloat16* right_row = keys + lane % 16 * tile_stride<D> + first_column() + lane / 16 * (D / 2);
#pragma unroll 1  // not unrolled, because the caller leaves few registers
    for (int k = 0; k < count; k += 16) {
      uint32_t left[4];
      ldmatrix_x4<true>(left, left_row + k * score_stride);
#pragma unroll
      for (int j = 0; j < pairs; ++j) {
        uint32_t right[4];
        ldmatrix_x4<true>(right, right_row + k * tile_stride<D> + j * 8);
        mma_m16n8k16(sums[j], left, {right[0], right[1]});
        mma_m16n8k16(sums[pairs + j], left, {right[2], right[3]});
      }
    }
  }
  __device__ __forceinline__ void store(float* to) const {
    const int lane = threadIdx.x % warp_size;
#pragma unroll
    for (int j = 0; j < 2 * pairs; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<float2*>(to + (first_row() + lane / 4 + half * 8) * D + column(j) + lane % 4 * 2) =
            float2{sums[j][half * 2], sums[j][half * 2 + 1]};
  }
  // Undoes RoPE, like rotate_rows_back. The tile of queries begins at query `first`.
  __device__ __forceinline__ void rotate_back(const float* table, int first, int seq) {
    const int lane = threadIdx.x % warp_size;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const float* angles = table + int64_t{min(first + first_row() + lane / 4 + half * 8, seq - 1)} * D + lane % 4 * 2;
#pragma unroll
      for (int j = 0; j < pairs; ++j) {
        float cosine[2], sine[2];
        cuda::load(cosine, angles + column(j));
        cuda::load(sine, angles + column(pairs + j));
#pragma unroll
        for (int i = half * 2; i < half * 2 + 2; ++i)
          cuda::rotate_back(sums[j][i], sums[pairs + j][i], cosine[i % 2], sine[i % 2]);
      }
    }
  }
  // Stores factor * sums in bf16, as the final gradient. The tile of queries begins at query `first`.
  __device__ __forceinline__ void store(bfloat16* to, int64_t stride, int first, int seq, int head_dim,
                                        float factor) const {
    const int lane = threadIdx.x % warp_size;
#pragma unroll
    for (int half = 0; half < 2; ++half) {
      const int query = first + first_row() + lane / 4 + half * 8;
      if (query >= seq) continue;
#pragma unroll
      for (int j = 0; j < 2 * pairs; ++j)
        if (int c = column(j) + lane % 4 * 2; c < head_dim)
          *reinterpret_cast<uint32_t*>(to + query * stride + c) =
              pack_bf16(sums[j][half * 2] * factor, sums[j][half * 2 + 1] * factor);
    }
  }
};

// Writes the warp's rows of ds to shared memory, because every warp needs the rows of all warps.
template <int D>
__device__ __forceinline__ void share_scores(bfloat16* to, const float (&ds)[row_groups<D>][tile_queries / 8][4]) {
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size;
  to += (warp * warp_rows<D> + lane / 4) * score_stride + lane % 4 * 2;
#pragma unroll
  for (int g = 0; g < row_groups<D>; ++g)
#pragma unroll
    for (int j = 0; j < tile_queries / 8; ++j)
#pragma unroll
      for (int half = 0; half < 2; ++half)
        *reinterpret_cast<uint32_t*>(to + (g * 16 + half * 8) * score_stride + j * 8) =
            pack_bf16(ds[g][j][half * 2], ds[g][j][half * 2 + 1]);
}

// Computes dk and dv. If `with_dq`, also computes dq or, with several owners, this owner's sums of dq. Rows are keys,
// so the scores are transposed compared to the forward.
template <int D, bool dropout, bool with_dq>
__global__ void __launch_bounds__(attention_threads) key_value_kernel(AttentionArguments<bfloat16> a) {
  // Shared memory holds, in this order: keys; values; two buffers of queries and dout; two buffers of log_sum_exp and
  // delta of these queries; ds if `with_dq`.
  DYN_SHARED(bfloat16, shared);
  constexpr int rows = tile_queries, groups = row_groups<D>, tile = tile_size<D, block_rows<D>>,
                query_tile = tile_size<D, rows>;
  static_assert(2 * rows <= attention_threads && block_rows<D> % rows == 0);
  float* statistics = reinterpret_cast<float*>(shared + 2 * tile + 4 * query_tile);
  bfloat16* scores = reinterpret_cast<bfloat16*>(statistics + 4 * rows);
  const int kv_head = blockIdx.y, batch = blockIdx.z, group = a.heads / a.kv_heads;
  const int lane = threadIdx.x % warp_size, warp = threadIdx.x / warp_size, owners = gridDim.x;
  const float scale = a.scale * log2_e;
  const uint64_t stream = dropout ? a.dropout.stream(batch) : 0;
  QueryPart<D> dq;

  for (int t = blockIdx.x; t * block_rows<D> < a.seq; t += owners) {
    const int first_key = t * block_rows<D>, first = first_key + warp * warp_rows<D>;
    // The position after the last query that attends to a key of this tile.
    const int end = a.document_end(batch, min(first_key + block_rows<D>, a.seq) - 1);
    const int rounds = group * ((end - first_key + rows - 1) / rows);
    // A round processes a tile of queries of one head. next_head and next_query are what load_queries loads next.
    int next_head = kv_head * group, next_query = first_key;
    auto load_queries = [&](int round) {
      bfloat16* buffer = shared + 2 * tile + round % 2 * 2 * query_tile;
      const int head = next_head, first_query = next_query;
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

    const int warp_end = a.document_end(batch, min(first + warp_rows<D>, a.seq) - 1);
    const LeftRows<D> keys(shared), values(keys, tile);
    float dk[groups][D / 8][4] = {}, dv[groups][D / 8][4] = {};
    for (int round = 0; round < rounds; ++round) {
      const int head = next_head, first_query = next_query;
      if (round + 1 < rounds) {
        next_query += rows;
        if (next_query >= end) {
          next_query = first_key;
          ++next_head;
        }
        load_queries(round + 1);
        copy_async_wait<1>();
      } else {
        copy_async_wait<0>();
      }
      __syncthreads();
      const bfloat16* buffer = shared + 2 * tile + round % 2 * 2 * query_tile;
      const float* log_sums = statistics + round % 2 * 2 * rows;
      float* sums = with_dq ? a.dq_sums + a.dq_row(blockIdx.x, batch, head, first_query) : nullptr;
      // dq starts from 0 if this block has not yet added to the sums of these queries for an earlier tile of keys.
      auto load_dq = [&] { dq.load(sums, t - owners < a.document_begin(batch, first_query) / block_rows<D>); };
      if (first_query + rows > first && first_query < warp_end) {
        float p[groups][rows / 8][4], ds[groups][rows / 8][4];
        multiply_transposed<D>(p, keys, buffer);
        multiply_transposed<D>(ds, values, buffer + query_tile);
        if (first_query < first + warp_rows<D> - 1) mask_scores<true>(p, first, first_query);
        if (a.documents && first_query + rows > a.document_end(batch, min(first, a.seq - 1)))
          mask_documents<true>(p, a, batch, first, first_query);
        if (dropout) drop<true>(ds, a, stream, head, first, first_query);
          // Tiles are zero beyond the last query. p may be 1 there, but p is multiplied only by zeros.
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
        if (with_dq) share_scores<D>(scores, ds);
        if (dropout) drop<true>(p, a, stream, head, first, first_query);
        multiply_add<D>(dv, p, buffer + query_tile);
        if (with_dq) load_dq();  // the loads can overlap with the next product
        multiply_add<D>(dk, ds, buffer);
      } else if (with_dq) {
        const float none[groups][rows / 8][4] = {};
        share_scores<D>(scores, none);
        load_dq();
      }
      if (with_dq) {
        __syncthreads();
        dq.add(scores, shared, min(block_rows<D>, first_query + rows - first_key));
        if (owners == 1 && first_query < first_key + block_rows<D>) {  // no later tile of keys adds to these queries
          if (a.rope) dq.rotate_back(a.rope, first_query, a.seq);
          dq.store(a.dqkv + a.query(batch, head), a.qkv_row(), first_query, a.seq, a.head_dim, a.scale);
        } else {
          dq.store(sums);
        }
      }
      __syncthreads();  // later rounds overwrite `buffer` and `scores`
    }
    if (a.rope) rotate_rows_back<D>(dk, a.rope, first, a.seq);
    store_rows<D>(a.dqkv + a.key(batch, kv_head), a.qkv_row(), first, a.seq, a.head_dim, dk, a.scale);
    store_rows<D>(a.dqkv + a.value(batch, kv_head), a.qkv_row(), first, a.seq, a.head_dim, dv, 1.0f);
  }
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

AttentionKernel<bfloat16> tensor_core_backward_key_value(int64_t head_dim, bool dropout, bool with_dq) {
  return for_head_dim(head_dim, dropout, [&](auto width, auto drops) {
    constexpr int D = decltype(width)::value;
    constexpr bool d = decltype(drops)::value;
    constexpr size_t values = 2 * tile_size<D, block_rows<D>> + 4 * tile_size<D, tile_queries>,
                     bytes = values * sizeof(bfloat16) + 4 * tile_queries * sizeof(float),
                     scores = block_rows<D> * score_stride * sizeof(bfloat16);
    return with_dq ? AttentionKernel<bfloat16>{key_value_kernel<D, d, true>, block_rows<D>, attention_threads,
                                               bytes + scores}
                   : AttentionKernel<bfloat16>{key_value_kernel<D, d, false>, block_rows<D>, attention_threads, bytes};
  });
}

}  // namespace rowan::cuda
