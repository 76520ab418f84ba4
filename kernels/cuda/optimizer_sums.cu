// Sums of squares over rows, columns and matrices, normalize(), and adaptive_factors(). Lower bound on the time of
// sums: reading each matrix once at the bandwidth of a copy. normalize() also reads and writes the update once.
#include <algorithm>

#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/optimizer_slots.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256, stripe_warps = block / warp_size;

// sums[row] = factor * |row|^2, but at most `most`. One block per row. The grid has enough blocks for the slot with the
// most rows.
template <int width>
__global__ void row_sums_kernel(const __grid_constant__ SlotList list, float factor, float most) {
  const Slot& s = list.slots[blockIdx.y];
  if (blockIdx.x >= s.rows) return;
  int64_t row = int64_t{blockIdx.x} * s.cols;
  float total = 0.0f, x[width];
  for (int64_t c = int64_t{threadIdx.x} * width; c < s.cols; c += int64_t{blockDim.x} * width) {
    load_any(x, s.update, row + c, list.types.update);
#pragma unroll
    for (int j = 0; j < width; ++j) total += x[j] * x[j];
  }
  total = block_sum(total);
  if (threadIdx.x == 0) s.sums[blockIdx.x] = at_most(factor * total, most);
}

// sums[column] = factor * |column|^2, but at most `most`. One block per 32 columns. Each of its 8 warps sums every 8th
// row.
__global__ void column_sums_kernel(const __grid_constant__ SlotList list, float factor, float most) {
  SHARED_ARRAY(float, partial, block);
  const Slot& s = list.slots[blockIdx.y];
  int64_t column = int64_t{blockIdx.x} * warp_size + threadIdx.x % warp_size, first = threadIdx.x / warp_size;
  float total = 0.0f, x[1];
  for (int64_t r = first; column < s.cols && r < s.rows; r += stripe_warps) {
    load_any(x, s.update, r * s.cols + column, list.types.update);
    total += x[0] * x[0];
  }
  partial[threadIdx.x] = total;
  __syncthreads();
  if (first > 0 || column >= s.cols) return;
  for (int w = 1; w < stripe_warps; ++w) total += partial[w * warp_size + threadIdx.x];
  s.sums[column] = at_most(factor * total, most);
}

// totals[n] = the sum over k of parts[n, k], but at most `most`. One block per n.
__global__ void totals_kernel(float* totals, const float* parts, int64_t k, float most) {
  float total = 0.0f;
  for (int64_t i = threadIdx.x; i < k; i += blockDim.x) total += parts[blockIdx.x * k + i];
  total = block_sum(total);
  if (threadIdx.x == 0) totals[blockIdx.x] = at_most(total, most);
}

// Replaces each sum of squares by the factor for the same row, column or matrix. Double precision costs little here,
// because the number of factors is small.
__global__ void factors_kernel(float* sums, int64_t count, NormalizeRule rule) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    double sum = sums[i], eps = rule.eps;
    double divisor = rule.eps_mode == Eps::inside ? sqrt(sum + eps)
                     : rule.eps_mode == Eps::add  ? sqrt(sum) + eps
                                                  : at_least(sqrt(sum), eps);
    double factor = divisor <= 0.0 ? 0.0 : pow(divisor, 2.0 * rule.exponent);
    if (rule.clip > 0.0f) factor = at_most(at_least(factor, 1.0 / rule.clip), double{rule.clip});
    sums[i] = static_cast<float>(at_most(factor, double{largest_factor}));
  }
}

// x[n, rows, cols] *= target * row factor * column factor * matrix factor, but at most by largest_factor. A null
// pointer stands for the factor 1.
template <typename T, int width>
__global__ void scale_kernel(T* x, const float* by_row, const float* by_column, const float* by_matrix, float target,
                             int64_t n, int64_t rows, int64_t cols) {
  int64_t vectors = cols / width;
  for (int64_t i = thread_index(); i < n * rows * vectors; i += thread_count()) {
    int64_t row = i / vectors, column = i % vectors * width, matrix = row / rows;
    float factor = target * (by_row ? by_row[row] : 1.0f) * (by_matrix ? by_matrix[matrix] : 1.0f), values[width];
    factor = at_most(factor, largest_factor);
    load(values, x + row * cols + column);
#pragma unroll
    for (int j = 0; j < width; ++j)
      values[j] *= at_most(factor * (by_column ? by_column[matrix * cols + column + j] : 1.0f), largest_factor);
    store(x + row * cols + column, values);
  }
}

// One block per slot. slot.sums receives the slot's factors, and slot.second holds the slot's running averages.
__global__ void adaptive_factors_kernel(float* factors, const __grid_constant__ SlotList list, const float* update_sums,
                                        const float* gradient_sums, int64_t k, AdaptRule rule) {
  const Slot& s = list.slots[blockIdx.x];
  int64_t at = (s.sums - factors);
  float *v = static_cast<float*>(s.second), *f = s.sums;
  const float *u = update_sums + at, *g = gradient_sums ? gradient_sums + at : nullptr;
  float before = 0.0f, after = 0.0f;
  for (int64_t j = threadIdx.x; j < k; j += blockDim.x) {
    if (rule.normuon) {
      v[j] = rule.second.keep * v[j] + rule.second.take * u[j] / rule.width;
      f[j] = 1.0f / (sqrtf(v[j]) + rule.eps);
      before += u[j];
      after += f[j] * (f[j] * u[j]);  // the square of f may overflow, and u may be 0
    } else {
      v[j] = rule.second.keep * v[j] + rule.second.take * g[j];
      f[j] = sqrtf(u[j]) / (rule.eps_inside ? sqrtf(v[j] + rule.eps) : sqrtf(v[j]) + rule.eps);
      before += f[j];
    }
  }
  before = block_sum(before);
  after = block_sum(after);
  float norm = rule.target > 0.0f ? rule.target : sqrtf(before), mean = before / static_cast<float>(k);
  float ratio = norm / (sqrtf(after) + rule.eps);
  for (int64_t j = threadIdx.x; j < k; j += blockDim.x) {
    if (rule.normuon) {
      f[j] *= ratio;
    } else {
      if (rule.clamp > 0.0f && mean > 0.0f) f[j] = at_most(at_least(f[j], rule.clamp * mean), mean / rule.clamp);
      f[j] *= rule.bias;
    }
  }
}

unsigned block_for(int64_t count) {
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(count, warp_size) * warp_size, warp_size, block));
}

std::vector<Slot> matrix_slots(const std::vector<Tensor>& matrices) {
  std::vector<Slot> slots;
  for (const Tensor& x : matrices) {
    Slot slot{};
    slot.update = x.data;
    slot.rows = x.dim(0);
    slot.cols = x.dim(1);
    slots.push_back(slot);
  }
  return slots;
}

}  // namespace

void CudaBackend::run_row_sums(const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types, float factor,
                               float most) {
  int64_t rows = largest(slots, [](const Slot& s) { return s.rows; });
  int64_t cols = largest(slots, [](const Slot& s) { return s.cols; });
  int width = slots_width(slots, true);
  for_lists(slots, types, [&](const SlotList& list, unsigned n) {
    launch(width > 1 ? row_sums_kernel<vector_elements> : row_sums_kernel<1>, dim3(unsigned(rows), n),
           row_threads(cols, width), 0, list, factor, most);
  });
}

void CudaBackend::run_column_sums(const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types, float factor,
                                  float most) {
  int64_t cols = largest(slots, [](const Slot& s) { return s.cols; });
  for_lists(slots, types, [&](const SlotList& list, unsigned n) {
    launch(column_sums_kernel, dim3(unsigned(ceil_div(cols, warp_size)), n), block, 0, list, factor, most);
  });
}

// Writes factor * the sums of squares, but at most `most`, to `out`. `rows` is scratch memory for one fp32 value per
// row of each matrix. It is used only if `along` is `matrix`.
void CudaBackend::run_sums(float* out, float* rows, std::vector<cuda::Slot> slots, const cuda::SlotTypes& types,
                           Along along, float factor, float most) {
  int64_t height = slots[0].rows, width = slots[0].cols, n = static_cast<int64_t>(slots.size());
  if (along == Along::column) {
    attach_sums(slots, out, width);
    return run_column_sums(slots, types, factor, most);
  }
  attach_sums(slots, along == Along::row ? out : rows, height);
  run_row_sums(slots, types, factor, along == Along::row ? most : INFINITY);
  if (along == Along::matrix) launch(totals_kernel, unsigned(n), block_for(height), 0, out, rows, height, most);
}

void CudaBackend::do_sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale) {
  if (matrices.empty()) return;
  SlotTypes types{};
  types.update = matrices[0].dtype == DType::bf16;
  float* rows =
      along == Along::matrix ? workspace<float>(static_cast<int64_t>(matrices.size()) * matrices[0].dim(0)) : nullptr;
  run_sums(out.as<float>(), rows, matrix_slots(matrices), types, along, scale * scale, largest_sum);
}

void CudaBackend::do_normalize(Tensor update, const NormalizeRule& rule) {
  if (update.numel() == 0) return;
  int64_t n = update.dim(0), rows = update.dim(1), cols = update.dim(2);
  std::vector<Slot> slots(static_cast<size_t>(n));
  SlotTypes types{};
  attach_update(slots, types, update);
  float* by_row = workspace<float>(n * (2 * rows + cols + 1));
  float *by_column = by_row + n * rows, *by_matrix = by_column + n * cols, *scratch = by_matrix + n;
  auto make_factors = [&](bool wanted, float* to, int64_t k, Along along) {
    if (!wanted) return;
    run_sums(to, scratch, slots, types, along, 1.0f);
    launch(factors_kernel, grid_for(n * k, block), block, 0, to, n * k, rule);
  };
  make_factors(rule.rows, by_row, rows, Along::row);
  make_factors(rule.columns, by_column, cols, Along::column);
  make_factors(rule.matrix, by_matrix, 1, Along::matrix);
  with_dtype(update.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({update.data}, cols), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(scale_kernel<T, width>, grid_for(update.numel() / width, block), block, 0, update.as<T>(),
             rule.rows ? by_row : nullptr, rule.columns ? by_column : nullptr, rule.matrix ? by_matrix : nullptr,
             rule.target, n, rows, cols);
    });
  });
}

void CudaBackend::do_adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                                      Tensor gradient_sums, const AdaptRule& rule) {
  std::vector<Slot> list = device_slots(slots);
  attach_sums(list, factors.as<float>(), factors.cols());
  for_lists(list, types_of(slots), [&](const SlotList& part, unsigned n) {
    launch(adaptive_factors_kernel, n, block_for(factors.cols()), 0, factors.as<float>(), part, update_sums.as<float>(),
           gradient_sums.as<float>(), factors.cols(), rule);
  });
}

}  // namespace rowan
