// Token and position embeddings. The backward sorts the tokens by id, so that every row of the table has one writer
// and a fixed order of summation: no float atomics.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 128, rank_block = 256;
constexpr int64_t tokens_per_chunk = 4096;

template <typename T, typename O, int width>
__global__ void embedding_forward_kernel(O* out, const int* tokens, const T* table, const T* positions,
                                         const int* position_ids, int64_t count, int64_t cols, int64_t vocabulary,
                                         int64_t seq, int* bad_id) {
  int64_t vectors = cols / width;
  for (int64_t i = thread_index(); i < count * vectors; i += thread_count()) {
    int64_t n = i / vectors, column = i % vectors * width;
    int token = tokens[n];
    float values[width] = {}, position[width];
    if (token >= 0 && token < vocabulary) {
      load(values, table + token * cols + column);
    } else if (column == 0) {
      bad_id[0] = 1;
      bad_id[1] = token;
    }
    if (positions) {
      load(position, positions + (position_ids ? position_ids[n] : n % seq) * cols + column);
#pragma unroll
      for (int j = 0; j < width; ++j) values[j] += position[j];
    }
    store(out + n * cols + column, values);
  }
}

// All ids below 0 are equally wrong.
__device__ __forceinline__ int id_of(int token) { return max(token, -1); }

// ranks[chunk, n] = how many tokens of the chunk come before token n when sorted by (id, place): count^2 comparisons
// in all and nothing to synchronize. Equal ids come before those of later blocks and after those of earlier ones; only
// within a block the place decides.
__global__ void rank_kernel(int* ranks, const int* tokens, int64_t count) {
  SHARED_ARRAY(int, others, rank_block);
  int64_t n = thread_index();
  int mine = n < count ? id_of(tokens[n]) : 0, before = 0;
  int64_t begin = blockIdx.y * tokens_per_chunk, end = min(begin + tokens_per_chunk, count);
  for (int64_t tile = begin; tile < end; tile += rank_block) {
    int size = static_cast<int>(min(end - tile, int64_t{rank_block}));
    if (int i = static_cast<int>(threadIdx.x); i < size) others[i] = id_of(tokens[tile + i]);
    __syncthreads();
    if (tile == int64_t{blockIdx.x} * rank_block) {
      for (int m = 0; m < size; ++m)
        before += others[m] < mine || (others[m] == mine && m < static_cast<int>(threadIdx.x));
    } else {
      int last = tile < n ? mine : mine - 1;
#pragma unroll 16
      for (int m = 0; m < size; ++m) before += others[m] <= last;
    }
    __syncthreads();
  }
  if (n < count) ranks[blockIdx.y * count + n] = before;
}

__global__ void order_kernel(int* order, const int* ranks, int64_t count, int chunks) {
  int64_t n = thread_index();
  if (n >= count) return;
  int rank = 0;
  for (int chunk = 0; chunk < chunks; ++chunk) rank += ranks[chunk * count + n];
  order[rank] = static_cast<int>(n);
}

// A block per token and part of the columns; the first of each id in sorted order adds up the rows of all with that
// id, a block's worth of places at a time so that many loads are under way.
template <typename T, typename D, int width>
__global__ void add_rows_kernel(T* d_table, const D* dout, const int* tokens, const int* order, int64_t count,
                                int64_t cols, int64_t vocabulary, int* bad_id) {
  SHARED_ARRAY(int, rows, block);  // -1: of another id
  int64_t first = blockIdx.x;
  int token = tokens[order[first]];
  if (first > 0 && tokens[order[first - 1]] == token) return;
  if (token < 0 || token >= vocabulary) {
    if (threadIdx.x == 0) {
      bad_id[0] = 1;
      bad_id[1] = token;
    }
    return;
  }
  int64_t column = (int64_t{blockIdx.y} * block + threadIdx.x) * width;
  float sums[width] = {}, values[width];
  if (column < cols) load(sums, d_table + token * cols + column);
  for (int64_t begin = first; begin < count; begin += block) {
    int64_t place = begin + threadIdx.x;
    int row = place < count ? order[place] : -1;
    rows[threadIdx.x] = row >= 0 && tokens[row] == token ? row : -1;
    __syncthreads();
    int size = 0;  // of this id: they come first
#pragma unroll
    for (int step = block / 2; step > 0; step /= 2)
      if (rows[size + step - 1] >= 0) size += step;
    if (rows[size] >= 0) ++size;
    if (column < cols) {
#pragma unroll 8
      for (int i = 0; i < size; ++i) {
        load(values, dout + rows[i] * cols + column);
#pragma unroll
        for (int j = 0; j < width; ++j) sums[j] += values[j];
      }
    }
    __syncthreads();
    if (size < block) break;
  }
  if (column < cols) store(d_table + token * cols + column, sums);
}

template <typename T, typename D, int width>
__global__ void add_positions_kernel(T* d_positions, const D* dout, int64_t count, int64_t cols, int64_t seq) {
  int64_t vectors = cols / width;
  for (int64_t i = thread_index(); i < min(seq, count) * vectors; i += thread_count()) {
    int64_t position = i / vectors, column = i % vectors * width;
    float sums[width], values[width];
    load(sums, d_positions + position * cols + column);
#pragma unroll 4
    for (int64_t n = position; n < count; n += seq) {
      load(values, dout + n * cols + column);
#pragma unroll
      for (int j = 0; j < width; ++j) sums[j] += values[j];
    }
    store(d_positions + position * cols + column, sums);
  }
}

}  // namespace

void CudaBackend::do_embedding_forward(Tensor out, Tensor tokens, Tensor table, Tensor positions, int64_t seq,
                                       Tensor position_ids) {
  int64_t count = tokens.numel(), cols = table.cols();
  auto run = [&](auto type, auto result) {
    using T = decltype(type);
    using O = decltype(result);
    with_width(vector_width({out.data, table.data, positions.data}, cols), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(embedding_forward_kernel<T, O, width>, grid_for(count * cols / width, block), block, 0, out.as<O>(),
             tokens.as<int>(), table.as<T>(), positions.as<T>(), position_ids.as<int>(), count, cols, table.dim(0), seq,
             bad_id_);
    });
  };
  if (out.dtype == table.dtype)
    with_dtype(table.dtype, [&](auto type) { run(type, type); });
  else
    run(bfloat16(), float());
}

void CudaBackend::do_embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) {
  int64_t count = tokens.numel(), cols = d_table.cols(), chunks = ceil_div(count, tokens_per_chunk);
  if (count == 0) return;
  int* ranks = workspace<int>((chunks + 1) * count);
  int* order = ranks + chunks * count;
  unsigned blocks = unsigned(ceil_div(count, rank_block));
  launch(rank_kernel, dim3(blocks, unsigned(chunks)), rank_block, 0, ranks, tokens.as<int>(), count);
  launch(order_kernel, blocks, rank_block, 0, order, ranks, count, int(chunks));
  with_dtype(d_table.dtype, [&](auto to) {
    with_dtype(dout.dtype, [&](auto from) {
      using T = decltype(to);
      using D = decltype(from);
      with_width(vector_width({d_table.data, dout.data}, cols), [&](auto w) {
        constexpr int width = decltype(w)::value;
        launch(add_rows_kernel<T, D, width>, dim3(unsigned(count), unsigned(ceil_div(cols, block * width))), block, 0,
               d_table.as<T>(), dout.as<D>(), tokens.as<int>(), order, count, cols, d_table.dim(0), bad_id_);
      });
    });
  });
  if (d_positions.empty()) return;
  with_dtype(d_positions.dtype, [&](auto to) {
    with_dtype(dout.dtype, [&](auto from) {
      using T = decltype(to);
      using D = decltype(from);
      with_width(vector_width({d_positions.data, dout.data}, cols), [&](auto w) {
        constexpr int width = decltype(w)::value;
        launch(add_positions_kernel<T, D, width>, grid_for(std::min(seq, count) * cols / width, block), block, 0,
               d_positions.as<T>(), dout.as<D>(), count, cols, seq);
      });
    });
  });
}

}  // namespace rowan
