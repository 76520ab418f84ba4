// The scratch memory of the CUDA backend's larger operations. The kernels divide their work by these functions, and the
// dry backend counts memory by them. C++17.
#pragma once

#include <algorithm>
#include <vector>

#include "base/tensor.h"
#include "kernels/model_rules.h"

namespace rowan {

// cuBLASLt's workspace in bytes, held from the start.
constexpr size_t blas_workspace_bytes = size_t{32} << 20;

// --- attention's backward on tensor cores (kernels/cuda/attention_backward.cu) ---
// Keys in a block's tile; queries in a tile of the key-value kernel.
constexpr int64_t attention_block_rows(int64_t head_dim) { return head_dim <= 64 ? 128 : 64; }
constexpr int attention_tile_queries = 32;

// Blocks that share the keys of one key/value head of a sequence, so that every multiprocessor has two blocks. 0: the
// extra sums of so many owners would cost more than the two saved products gain, so dq has a kernel of its own.
inline int64_t attention_owners(const AttentionShape& s, int64_t multiprocessors) {
  constexpr int64_t most = 4;
  const int64_t rows = attention_block_rows(s.head_dim), tiles = (s.seq + rows - 1) / rows,
                heads = s.batch * s.kv_heads, owners = std::min(tiles, (2 * multiprocessors + heads - 1) / heads);
  return owners <= most ? owners : 0;
}

// --- eigenvectors and orthogonal factors (kernels/cuda/eigen.cu) ---
// The number of matrices, from matrices[begin] on, that are handled at once: equal in size, and together within a
// limit. Each takes `squares` times the doubles of its elements.
inline int64_t eigen_batch(const std::vector<Tensor>& matrices, size_t begin, int64_t squares) {
  constexpr double limit = 1 << 25;  // doubles
  const int64_t k = matrices[begin].dim(0);
  const double room = static_cast<double>(squares * k) * static_cast<double>(k);
  size_t n = 1;
  while (begin + n < matrices.size() && matrices[begin + n].dim(0) == k && static_cast<double>(n + 1) * room <= limit)
    ++n;
  return static_cast<int64_t>(n);
}

// --- normalized steps along columns (kernels/cuda/optimizer_rows.cu) ---
// f32 values for a matrix: the update, then sums of its rows or columns.
inline int64_t staged_room(int64_t rows, int64_t cols) { return (rows * cols + std::max(rows, cols) + 3) / 4 * 4; }
// As many matrices at a time as fit into this many values, but at least one.
constexpr int64_t staged_limit = int64_t{32} << 20;

}  // namespace rowan
