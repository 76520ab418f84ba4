// project() and normalized_step(). If rows are normalized and fit in shared memory, a step takes one pass over memory.
// Otherwise momentum, projection, sums and the update of the weights take separate launches. The single pass moves 22
// bytes per parameter with bf16 weights: it reads gradient, momentum and master in fp32, and writes momentum, master
// and weight. Lower bound on time: this traffic at the bandwidth of a copy.
#include "base/error.h"
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/optimizer_slots.cuh"
#include "kernels/gpu_workspace.h"

namespace rowan {
namespace {

using namespace cuda;

constexpr int stripe_warps = 8, stripe_threads = stripe_warps * warp_size;

// One block per row. The first loop reads gradient and momentum. If rule.project is set, the loop also reads the values
// that the step updates. The update stays in shared memory until the last loop.
template <int width>
__global__ void row_step_kernel(const __grid_constant__ SlotList list, NormalizedStepRule rule) {
  DYN_SHARED(float, u);  // the row's update; if rule.project, the row's values from load_value() follow
  const Slot& s = list.slots[blockIdx.y];
  if (blockIdx.x >= s.rows) return;
  int64_t row = blockIdx.x * s.cols, begin = int64_t{threadIdx.x} * width, stride = int64_t{blockDim.x} * width;
  float* weights = u + s.cols;
  float uw = 0.0f, ww = 0.0f, squares = 0.0f;
  for (int64_t c = begin; c < s.cols; c += stride) {
    float g[width], b[width], x[width], w[width];
    load_any(g, s.gradient, row + c, list.types.gradient);
    load_any(b, s.first, row + c, list.types.first);
    mix_momentum(rule.momentum, g, b, x);
    store_any(s.first, row + c, list.types.first, b);
    store(u + c, x);
    if (rule.project) {
      load_value(w, s, list.types, row + c);
      store(weights + c, w);
    }
#pragma unroll
    for (int j = 0; j < width; ++j) {
      squares += x[j] * x[j];
      if (!rule.project) continue;
      uw += x[j] * w[j];
      ww += w[j] * w[j];
    }
  }
  if (rule.project) {
    uw = block_sum(uw);
    ww = block_sum(ww);
    float share = projection_share(rule.raw, rule.eps, uw, ww);
    squares = 0.0f;
    for (int64_t c = begin; c < s.cols; c += stride)
#pragma unroll
      for (int j = 0; j < width; ++j) {
        u[c + j] -= share * weights[c + j];
        squares += u[c + j] * u[c + j];
      }
  }
  float step_size = rule.step * s.scale * inverse_norm(block_sum(squares), rule.eps, rule.eps_mode);
  for (int64_t c = begin; c < s.cols; c += stride) {
    float keep[width], step[width];
#pragma unroll
    for (int j = 0; j < width; ++j) {
      keep[j] = 1.0f - rule.decay;
      step[j] = step_size * u[c + j];
    }
    update_weights(s, list.types, row + c, keep, step, rule.rounding);
  }
}

// Applies ProjectRule to each row of the update. One block per row.
template <int width>
__global__ void project_rows_kernel(const __grid_constant__ SlotList list, ProjectRule rule) {
  const Slot& s = list.slots[blockIdx.y];
  if (blockIdx.x >= s.rows) return;
  int64_t row = blockIdx.x * s.cols, begin = int64_t{threadIdx.x} * width, stride = int64_t{blockDim.x} * width;
  float uw = 0.0f, ww = 0.0f, u[width], w[width];
  for (int64_t c = begin; c < s.cols; c += stride) {
    load_any(u, s.update, row + c, list.types.update);
    load_value(w, s, list.types, row + c);
#pragma unroll
    for (int j = 0; j < width; ++j) {
      uw += u[j] * w[j];
      ww += w[j] * w[j];
    }
  }
  uw = block_sum(uw);
  ww = block_sum(ww);
  float share = projection_share(rule.raw, rule.eps, uw, ww);
  for (int64_t c = begin; c < s.cols; c += stride) {
    load_any(u, s.update, row + c, list.types.update);
    load_value(w, s, list.types, row + c);
#pragma unroll
    for (int j = 0; j < width; ++j) u[j] -= share * w[j];
    store_any(s.update, row + c, list.types.update, u);
  }
}

// Adds up x over the warps of the block, separately for each lane. Returns to every thread the sum of its lane.
__device__ float sum_over_warps(float x) {
  SHARED_ARRAY(float, values, stripe_threads);
  values[threadIdx.x] = x;
  __syncthreads();
  float total = 0.0f;
  for (int w = 0; w < stripe_warps; ++w) total += values[w * warp_size + threadIdx.x % warp_size];
  __syncthreads();
  return total;
}

// Applies ProjectRule to each column of the update. One block per 32 columns. Each of its 8 warps processes every 8th
// row.
__global__ void project_columns_kernel(const __grid_constant__ SlotList list, ProjectRule rule) {
  const Slot& s = list.slots[blockIdx.y];
  int64_t column = int64_t{blockIdx.x} * warp_size + threadIdx.x % warp_size, first = threadIdx.x / warp_size;
  bool inside = column < s.cols;
  float uw = 0.0f, ww = 0.0f, u[1], w[1];
  for (int64_t r = first; inside && r < s.rows; r += stripe_warps) {
    load_any(u, s.update, r * s.cols + column, list.types.update);
    load_value(w, s, list.types, r * s.cols + column);
    uw += u[0] * w[0];
    ww += w[0] * w[0];
  }
  uw = sum_over_warps(uw);
  ww = sum_over_warps(ww);
  float share = projection_share(rule.raw, rule.eps, uw, ww);
  for (int64_t r = first; inside && r < s.rows; r += stripe_warps) {
    load_any(u, s.update, r * s.cols + column, list.types.update);
    load_value(w, s, list.types, r * s.cols + column);
    u[0] -= share * w[0];
    store_any(s.update, r * s.cols + column, list.types.update, u);
  }
}

// Updates the weights. slot.sums holds the sums of squares of the rows or columns of the update.
__global__ void staged_step_kernel(const __grid_constant__ SlotList list, NormalizedStepRule rule) {
  const Slot& s = list.slots[blockIdx.y];
  for (int64_t i = thread_index(); i < s.count(); i += thread_count()) {
    float u[1], keep[1] = {1.0f - rule.decay};
    load_any(u, s.update, i, list.types.update);
    float squares = s.sums[rule.along == Along::row ? i / s.cols : i % s.cols];
    float step[1] = {rule.step * s.scale * inverse_norm(squares, rule.eps, rule.eps_mode) * u[0]};
    update_weights(s, list.types, i, keep, step, rule.rounding);
  }
}

}  // namespace

void CudaBackend::run_project(const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types,
                              const ProjectRule& rule) {
  int64_t rows = largest(slots, [](const Slot& s) { return s.rows; });
  int64_t cols = largest(slots, [](const Slot& s) { return s.cols; });
  int width = slots_width(slots, true);
  for_lists(slots, types, [&](const SlotList& list, unsigned n) {
    if (rule.along == Along::row)
      launch(width > 1 ? project_rows_kernel<vector_elements> : project_rows_kernel<1>, dim3(unsigned(rows), n),
             row_threads(cols, width), 0, list, rule);
    else
      launch(project_columns_kernel, dim3(unsigned(ceil_div(cols, warp_size)), n), stripe_threads, 0, list, rule);
  });
}

void CudaBackend::do_project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule) {
  std::vector<Slot> list = device_slots(slots);
  SlotTypes types = types_of(slots);
  attach_update(list, types, update);
  run_project(list, types, rule);
}

// Normalizes columns, or rows that are too wide for shared memory, in separate launches. Processes
// staged_batch() matrices at a time.
void CudaBackend::staged_steps(const std::vector<cuda::Slot>& slots, cuda::SlotTypes types,
                               const NormalizedStepRule& rule) {
  types.update = false;
  std::vector<int64_t> rooms;  // for each slot: its update, then its sums
  for (const Slot& slot : slots) rooms.push_back(staged_room(slot.rows, slot.cols));
  for (size_t begin = 0, end; begin < slots.size(); begin = end) {
    end = begin + staged_batch(rooms, begin);
    std::vector<Slot> part(slots.begin() + static_cast<int64_t>(begin), slots.begin() + static_cast<int64_t>(end));
    std::vector<int64_t> offsets;
    int64_t used = 0;
    for (size_t i = begin; i < end; used += rooms[i++]) offsets.push_back(used);
    float* scratch = workspace<float>(used);
    for (size_t i = 0; i < part.size(); ++i) {
      part[i].update = scratch + offsets[i];
      part[i].sums = scratch + offsets[i] + part[i].count();
    }
    run_momentum(part, types, rule.momentum);
    if (rule.project) run_project(part, types, ProjectRule{rule.along, rule.raw, rule.eps});
    if (rule.along == Along::column)
      run_column_sums(part, types, 1.0f);
    else
      run_row_sums(part, types, 1.0f);
    int64_t count = largest(part, [](const Slot& s) { return s.count(); });
    for_lists(part, types, [&](const SlotList& list, unsigned n) {
      launch(staged_step_kernel, dim3(grid_for(count, 256), n), 256, 0, list, rule);
    });
  }
}

void CudaBackend::do_normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule) {
  std::vector<Slot> list = device_slots(slots);
  SlotTypes types = types_of(slots);
  int64_t rows = largest(list, [](const Slot& s) { return s.rows; });
  int64_t cols = largest(list, [](const Slot& s) { return s.cols; });
  int width = slots_width(list, true);
  int64_t shared = row_step_bytes(cols, rule.project);
  if (rule.along == Along::column || shared > shared_limit_) return staged_steps(list, types, rule);
  for_lists(list, types, [&](const SlotList& part, unsigned n) {
    launch(width > 1 ? row_step_kernel<vector_elements> : row_step_kernel<1>, dim3(unsigned(rows), n),
           row_threads(cols, width), static_cast<size_t>(shared), part, rule);
  });
}

}  // namespace rowan
