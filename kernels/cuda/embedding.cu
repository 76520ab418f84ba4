// Token and position embeddings. The backward sorts the tokens by id. Every element of the table's gradient then has
// one writer and a fixed order of summation, without float atomics.
// Bytes moved per bf16 value: 4 in the forward without positions. The backward reads dout once for tokens and once for
// positions, and reads and writes the rows of the gradients that it updates. Lower bound on time: this traffic at the
// bandwidth of a copy. The sort adds passes over the tokens, one for each 8 bits of the size of the vocabulary.
// What was tried:
// 1. The radix sort takes linear time and counts digits without atomics. The thread that prefetches batches could sort
//    the tokens, but the positions within documents, which are sorted too, are known only on the device.
// 2. The loop over the rows of a position is unrolled by four, so that a thread has several loads in flight.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/vector.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 128;

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

// A stable radix sort of the tokens by id, lowest digit first. A block processes `tokens_per_block` tokens.
constexpr int digit_bits = 8, digits = 1 << digit_bits, sort_block = digits, tokens_per_block = 4 * sort_block;

// Ids outside the vocabulary sort last; add_rows_kernel reports them.
__device__ __forceinline__ int digit_of(int token, int vocabulary, int shift) {
  return (token >= 0 && token < vocabulary ? token : vocabulary) >> shift & (digits - 1);
}

// offsets[digit, block] = number of the block's tokens with this digit. `from` is the order that the previous pass
// wrote; null: the original order.
__global__ void count_digits_kernel(int* offsets, const int* from, const int* tokens, int count, int vocabulary,
                                    int shift) {
  SHARED_ARRAY(int, found, sort_block);
  const int me = static_cast<int>(threadIdx.x);
  int mine = 0;
  for (int i = 0; i < tokens_per_block; i += sort_block) {
    int place = static_cast<int>(blockIdx.x) * tokens_per_block + i + me;
    found[me] = place < count ? digit_of(tokens[from ? from[place] : place], vocabulary, shift) : -1;
    __syncthreads();
#pragma unroll 16
    for (int m = 0; m < sort_block; ++m) mine += found[m] == me;
    __syncthreads();
  }
  offsets[me * gridDim.x + blockIdx.x] = mine;
}

// Replaces each count in offsets[digit, block] by the position, in the new order, of the first of the counted tokens.
// There is one block, with one thread per digit.
__global__ void sum_digits_kernel(int* offsets, int blocks) {
  SHARED_ARRAY(int, totals, digits);
  int* mine = offsets + threadIdx.x * blocks;
  int total = 0;
#pragma unroll 8
  for (int b = 0; b < blocks; ++b) total += mine[b];
  totals[threadIdx.x] = total;
  __syncthreads();
  int begin = 0;
  for (int d = 0; d < static_cast<int>(threadIdx.x); ++d) begin += totals[d];
  for (int b = 0; b < blocks; ++b) {
    int size = mine[b];
    mine[b] = begin;
    begin += size;
  }
}

// Writes the new order. A block places `sort_block` tokens at a time. Tokens with the same digit keep their order.
__global__ void place_digits_kernel(int* to, const int* offsets, const int* from, const int* tokens, int count,
                                    int vocabulary, int shift) {
  SHARED_ARRAY(int, begins, digits);
  SHARED_ARRAY(int, others, sort_block);
  const int me = static_cast<int>(threadIdx.x);
  begins[me] = offsets[me * gridDim.x + blockIdx.x];
  for (int i = 0; i < tokens_per_block; i += sort_block) {
    int place = static_cast<int>(blockIdx.x) * tokens_per_block + i + me, token = 0, digit = -1;
    if (place < count) {
      token = from ? from[place] : place;
      digit = digit_of(tokens[token], vocabulary, shift);
    }
    others[me] = digit;
    __syncthreads();
    int before = 0, after = 0;
#pragma unroll 16
    for (int m = 0; m < sort_block; ++m) {
      before += others[m] == digit && m < me;
      after += others[m] == digit && m > me;
    }
    int at = digit < 0 ? 0 : begins[digit] + before;
    __syncthreads();
    if (digit < 0) continue;
    to[at] = token;
    if (after == 0) begins[digit] = at + 1;
  }
}

// One block per token and slice of columns. The block of an id's first token in sorted order adds up the rows of dout
// of all tokens with this id. The blocks of the id's later tokens return. Row numbers are loaded `block` at a time, so
// that many loads of rows can be in flight.
template <typename T, typename D, int width>
__global__ void add_rows_kernel(T* d_table, const D* dout, const int* tokens, const int* order, int64_t count,
                                int64_t cols, int64_t vocabulary, int* bad_id) {
  SHARED_ARRAY(int, rows, block);  // rows of dout to add; -1: no further token of this id
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
    int size = 0;  // number of rows that are not -1; these come first in `rows`
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

const int* CudaBackend::sorted(Tensor tokens, int64_t vocabulary) {
  const int64_t count = tokens.numel(), blocks = ceil_div(count, tokens_per_block);
  int *offsets = workspace<int>(digits * blocks + 2 * count), *orders[] = {offsets + digits * blocks, nullptr};
  orders[1] = orders[0] + count;
  const int* from = nullptr;
  for (int shift = 0, pass = 0; vocabulary >> shift > 0; shift += digit_bits, ++pass) {
    launch(count_digits_kernel, unsigned(blocks), sort_block, 0, offsets, from, tokens.as<int>(), int(count),
           int(vocabulary), shift);
    launch(sum_digits_kernel, 1, digits, 0, offsets, int(blocks));
    launch(place_digits_kernel, unsigned(blocks), sort_block, 0, orders[pass % 2], offsets, from, tokens.as<int>(),
           int(count), int(vocabulary), shift);
    from = orders[pass % 2];
  }
  return from;
}

void CudaBackend::do_embedding_backward(Tensor d_table, Tensor d_positions, Tensor dout, Tensor tokens, int64_t seq) {
  int64_t count = tokens.numel(), cols = d_table.cols();
  if (count == 0) return;
  const int* order = sorted(tokens, d_table.dim(0));
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
