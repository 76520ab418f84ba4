// How larger operations of the CUDA backend divide their work, and sizes of their scratch memory. The kernels use these
// functions, and the dry backend counts memory and FLOPs with them. C++17, because CUDA sources include this header.
#pragma once

#include <algorithm>
#include <vector>

#include "base/tensor.h"
#include "kernels/model_rules.h"

namespace rowan {

// Bytes of cuBLASLt's workspace, which the CUDA backend allocates when it is created.
constexpr size_t blas_workspace_bytes = size_t{32} << 20;

// --- attention's backward on tensor cores (kernels/cuda/attention_backward.cu) ---
// attention_block_rows: the rows for which a thread block computes results: queries for dq, keys for dk and dv.
// attention_tile_queries: the queries in each tile over which the kernel for dk and dv iterates.
constexpr int64_t attention_block_rows(int64_t head_dim) { return head_dim <= 64 ? 128 : 64; }
constexpr int attention_tile_queries = 32;

// The number of thread blocks, called owners, that share the keys of one key/value head of a sequence: enough for two
// blocks per multiprocessor, but at most one per tile of keys. Each owner computes a partial sum of dq. If more than
// four owners are needed, the result is 0, which selects a separate kernel for dq.
inline int64_t attention_owners(const AttentionShape& s, int64_t multiprocessors) {
  constexpr int64_t most = 4;
  const int64_t rows = attention_block_rows(s.head_dim), tiles = (s.seq + rows - 1) / rows,
                heads = s.batch * s.kv_heads, owners = std::min(tiles, (2 * multiprocessors + heads - 1) / heads);
  return owners <= most ? owners : 0;
}

// --- symmetric products (kernels/cuda/symmetric.cu) ---
// The number of rows in a strip of a symmetric result [n, n]. Each strip is one product, which ends with the strip's
// diagonal block. Four strips save 3/8 of the FLOPs, and more strips save at most another 1/8. Strips of fewer than 256
// rows would leave much of a GPU idle. The limits of four strips and of 256 rows are estimates.
constexpr int64_t symmetric_strip(int64_t n) {
  constexpr int64_t least = 256, most_strips = 4, step = 64;
  const int64_t strips = std::min(n / least, most_strips);
  return strips <= 1 ? n : ((n + strips - 1) / strips + step - 1) / step * step;
}

// --- eigenvectors and orthogonal factors (kernels/cuda/eigen.cu) ---
// The number of matrices, beginning with matrices[begin], that are processed at once. They have the same size. Each
// matrix [k, k] counts as squares * k * k doubles of scratch memory. A batch of two or more matrices has a total of at
// most `limit` doubles.
inline int64_t eigen_batch(const std::vector<Tensor>& matrices, size_t begin, int64_t squares) {
  constexpr double limit = 1 << 25;  // doubles
  const int64_t k = matrices[begin].dim(0);
  const double room = static_cast<double>(squares * k) * static_cast<double>(k);
  size_t n = 1;
  while (begin + n < matrices.size() && matrices[begin + n].dim(0) == k && static_cast<double>(n + 1) * room <= limit)
    ++n;
  return static_cast<int64_t>(n);
}

// --- normalized steps (kernels/cuda/optimizer_rows.cu) ---
// The number of slots that the kernel parameters of one launch can hold.
constexpr int slots_per_launch = 40;
// The bytes of shared memory that a step along rows of `cols` elements needs to run in one pass. A step along columns,
// or with less shared memory, takes several launches, which pass values on in scratch memory.
constexpr int64_t row_step_bytes(int64_t cols, bool project) {
  return cols * (project ? 2 : 1) * int64_t{sizeof(float)};
}
// The number of fp32 values of scratch memory for a matrix: the update, then sums of its rows or columns.
inline int64_t staged_room(int64_t rows, int64_t cols) { return (rows * cols + std::max(rows, cols) + 3) / 4 * 4; }
// The number of matrices, beginning with matrix `begin`, that are processed at once. Matrix i needs rooms[i] values of
// scratch memory.
inline size_t staged_batch(const std::vector<int64_t>& rooms, size_t begin) {
  constexpr int64_t limit = int64_t{32} << 20;  // values; one matrix alone may need more
  int64_t used = rooms[begin];
  size_t n = 1;
  while (begin + n < rooms.size() && n < slots_per_launch && used + rooms[begin + n] <= limit)
    used += rooms[begin + n++];
  return n;
}

}  // namespace rowan
