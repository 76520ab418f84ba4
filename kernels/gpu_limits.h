// What the CUDA backend computes at most. The dry backend keeps the same limits when it plans for a GPU. C++17, because
// CUDA sources include this header.
#pragma once

#include <cstdint>

#include "kernels/backend.h"

namespace rowan {

constexpr int64_t largest_head_dim = 256;  // of the attention kernels

// The limits of a GPU whose blocks may use `shared_bytes` bytes of dynamic shared memory.
inline Limits gpu_limits(int64_t shared_bytes) {
  Limits limits;
  limits.head_dim = largest_head_dim;
  // In norm_backward, shared memory must hold at least one warp's sums for weight and bias.
  limits.norm_width = shared_bytes / int64_t{2 * sizeof(float)};
  limits.batch = 65535;  // CUDA's limit of gridDim.z
  return limits;
}

}  // namespace rowan
