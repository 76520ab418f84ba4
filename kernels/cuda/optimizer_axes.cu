// Optimizer operations on rows and columns of matrices (sums, scaling, sorting, keeping the largest), and arithmetic on
// the factors of rows and columns. Lower bound on time: reading each operand once, and writing each updated matrix
// once, at the bandwidth of a copy.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/optimizer_slots.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256;

// Element `at` of s.update * s.first, or of |s.update| if s.first is null.
__device__ __forceinline__ float product(const Slot& s, const SlotTypes& types, int64_t at) {
  float x[1], y[1];
  load_any(x, s.update, at, types.update);
  if (!s.first) return fabsf(x[0]);
  load_any(y, s.first, at, types.first);
  return x[0] * y[0];
}

// One block per row.
__global__ void row_products_kernel(const __grid_constant__ SlotList list) {
  const Slot& s = list.slots[blockIdx.y];
  if (blockIdx.x >= s.rows) return;
  float total = 0.0f;
  for (int64_t c = threadIdx.x; c < s.cols; c += blockDim.x)
    total += product(s, list.types, int64_t{blockIdx.x} * s.cols + c);
  total = block_sum(total);
  if (threadIdx.x == 0) s.sums[blockIdx.x] = total;
}

// A thread processes whole columns.
__global__ void column_products_kernel(const __grid_constant__ SlotList list) {
  const Slot& s = list.slots[blockIdx.y];
  for (int64_t c = thread_index(); c < s.cols; c += thread_count()) {
    float total = 0.0f;
    for (int64_t r = 0; r < s.rows; ++r) total += product(s, list.types, r * s.cols + c);
    s.sums[c] = total;
  }
}

// totals[n] = the sum over k of parts[n, k]. One block per n.
__global__ void add_rows_kernel(float* totals, const float* parts, int64_t k) {
  float total = 0.0f;
  for (int64_t i = threadIdx.x; i < k; i += blockDim.x) total += parts[blockIdx.x * k + i];
  total = block_sum(total);
  if (threadIdx.x == 0) totals[blockIdx.x] = total;
}

__global__ void scale_along_kernel(const __grid_constant__ SlotList list, Along along) {
  const Slot& s = list.slots[blockIdx.y];
  for (int64_t i = thread_index(); i < s.count(); i += thread_count()) {
    float x[1];
    load_any(x, s.update, i, list.types.update);
    x[0] *= s.sums[along == Along::row ? i / s.cols : along == Along::column ? i % s.cols : 0];
    store_any(s.update, i, list.types.update, x);
  }
}

__global__ void power_kernel(float* x, int64_t count, PowerRule rule) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    double shifted = double{x[i]} + rule.shift, base = at_least(rule.odd ? fabs(shifted) : shifted, double{rule.floor});
    double result = at_most(base <= 0.0 ? 0.0 : rule.factor * pow(base, double{rule.exponent}), double{largest_factor});
    x[i] = static_cast<float>(rule.odd ? copysign(result, shifted) : result);
  }
}

__global__ void multiply_kernel(float* y, const float* x, int64_t count) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) y[i] *= x[i];
}

__global__ void retract_kernel(float* steps, float* keeps, const float* ww, const float* uw, const float* uu,
                               const float* radii, int64_t count, RetractRule rule) {
  for (int64_t i = thread_index(); i < count; i += thread_count()) {
    double keep = 1.0 - rule.decay, eps = rule.eps, radius = radii ? double{radii[i]} : sqrt(double{ww[i]});
    double step = rule.given ? double{steps[i]} : rule.lr * radius / at_least(sqrt(double{uu[i]}), eps);
    double square = keep * keep * ww[i] - 2.0 * keep * step * uw[i] + step * step * uu[i];
    double ratio = radius / at_least(sqrt(at_least(square, 0.0)), eps);
    steps[i] = static_cast<float>(ratio * step);
    keeps[i] = static_cast<float>(ratio * keep);
  }
}

// Returns the rank of keys[i] among k keys in the order of sorts_before().
__device__ __forceinline__ int64_t place(const float* keys, int64_t k, int64_t i) {
  int64_t before = 0;
  for (int64_t j = 0; j < k; ++j)
    before += sorts_before(keys[j], keys[i]) || (j < i && !sorts_before(keys[i], keys[j]));
  return before;
}

// places[n, k] = the rank of each of the k keys of a slot.
__global__ void places_kernel(int* places, const float* keys, int64_t k, int64_t n) {
  for (int64_t i = thread_index(); i < n * k; i += thread_count())
    places[i] = static_cast<int>(place(keys + i / k * k, k, i % k));
}

__global__ void keep_largest_kernel(const __grid_constant__ SlotList list, const int* places, int64_t k,
                                    LargestRule rule) {
  const Slot& s = list.slots[blockIdx.y];
  for (int64_t i = thread_index(); i < s.count(); i += thread_count()) {
    int64_t which = rule.along == Along::row ? i / s.cols : i % s.cols;
    float x[1];
    if (places[blockIdx.y * k + which] < rule.count) {
      load_any(x, s.first, i, list.types.first);
      x[0] *= rule.decay;
      store_any(s.first, i, list.types.first, x);
    } else {
      x[0] = 0.0f;
      store_any(s.update, i, list.types.update, x);
    }
  }
}

// Copies each slot's matrix to slot.sums, where row or column i goes to position places[slot, i].
__global__ void gather_kernel(const __grid_constant__ SlotList list, const int* places, int64_t k, Along along) {
  const Slot& s = list.slots[blockIdx.y];
  for (int64_t i = thread_index(); i < s.count(); i += thread_count()) {
    int64_t row = i / s.cols, column = i % s.cols;
    int64_t at = along == Along::row ? places[blockIdx.y * k + row] * s.cols + column
                                     : row * s.cols + places[blockIdx.y * k + column];
    float x[1];
    load_any(x, s.update, i, list.types.update);
    s.sums[at] = x[0];
  }
}

__global__ void store_sums_kernel(const __grid_constant__ SlotList list) {
  const Slot& s = list.slots[blockIdx.y];
  for (int64_t i = thread_index(); i < s.count(); i += thread_count()) {
    float x[1] = {s.sums[i]};
    store_any(s.update, i, list.types.update, x);
  }
}

unsigned threads_for(int64_t count) {
  return static_cast<unsigned>(std::clamp<int64_t>(ceil_div(count, warp_size) * warp_size, warp_size, block));
}

int64_t width_of(Along along, const Tensor& matrix) {
  return along == Along::row ? matrix.dim(0) : along == Along::column ? matrix.dim(1) : 1;
}

std::vector<Slot> slots_of(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  std::vector<Slot> slots(a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    slots[i].update = a[i].data;
    slots[i].first = b.empty() ? nullptr : b[i].data;
    slots[i].rows = a[i].dim(0);
    slots[i].cols = a[i].dim(1);
  }
  return slots;
}

SlotTypes types_of(const std::vector<Tensor>& a, const std::vector<Tensor>& b) {
  SlotTypes types{};
  types.update = !a.empty() && a[0].dtype == DType::bf16;
  types.first = !b.empty() && b[0].dtype == DType::bf16;
  return types;
}

}  // namespace

void CudaBackend::do_sums_along(Tensor out, const std::vector<Tensor>& a, const std::vector<Tensor>& b, Along along) {
  if (a.empty()) return;
  std::vector<Slot> slots = slots_of(a, b);
  int64_t n = static_cast<int64_t>(a.size()), rows = a[0].dim(0), cols = a[0].dim(1);
  float* sums = along == Along::matrix ? workspace<float>(n * rows) : out.as<float>();
  attach_sums(slots, sums, along == Along::column ? cols : rows);
  for_lists(slots, types_of(a, b), [&](const SlotList& list, unsigned count) {
    if (along == Along::column)
      launch(column_products_kernel, dim3(grid_for(cols, block), count), block, 0, list);
    else
      launch(row_products_kernel, dim3(unsigned(rows), count), threads_for(cols), 0, list);
  });
  if (along == Along::matrix) launch(add_rows_kernel, unsigned(n), threads_for(rows), 0, out.as<float>(), sums, rows);
}

void CudaBackend::do_scale_along(Tensor update, Tensor factors, Along along) {
  std::vector<Slot> slots(static_cast<size_t>(update.dim(0)));
  SlotTypes types{};
  attach_update(slots, types, update);
  attach_sums(slots, factors.as<float>(), factors.cols());
  for_lists(slots, types, [&](const SlotList& list, unsigned n) {
    launch(scale_along_kernel, dim3(grid_for(update.dim(1) * update.dim(2), block), n), block, 0, list, along);
  });
}

void CudaBackend::do_power(Tensor x, const PowerRule& rule) {
  launch(power_kernel, grid_for(x.numel(), block), block, 0, x.as<float>(), x.numel(), rule);
}

void CudaBackend::do_multiply(Tensor y, Tensor x) {
  launch(multiply_kernel, grid_for(y.numel(), block), block, 0, y.as<float>(), x.as<float>(), y.numel());
}

void CudaBackend::do_retract_factors(Tensor steps, Tensor keeps, Tensor ww, Tensor uw, Tensor uu, Tensor radii,
                                     const RetractRule& rule) {
  launch(retract_kernel, grid_for(steps.numel(), block), block, 0, steps.as<float>(), keeps.as<float>(), ww.as<float>(),
         uw.as<float>(), uu.as<float>(), radii.as<float>(), steps.numel(), rule);
}

void CudaBackend::do_keep_largest(Tensor update, const std::vector<OptimizerSlot>& slots, const LargestRule& rule) {
  int64_t n = update.dim(0), rows = update.dim(1), cols = update.dim(2), k = rule.along == Along::row ? rows : cols;
  std::vector<Tensor> matrices;
  for (int64_t i = 0; i < n; ++i) matrices.push_back(update.at(i));
  float* sums = workspace<float>(2 * n * k);
  int* places = reinterpret_cast<int*>(sums + n * k);
  do_sums_along(Tensor(sums, DType::f32, {n, k}), matrices, {}, rule.along);
  launch(places_kernel, grid_for(n * k, block), block, 0, places, sums, k, n);
  std::vector<Slot> list = device_slots(slots);
  SlotTypes types = cuda::types_of(slots);
  attach_update(list, types, update);
  int64_t begin = 0;
  for_lists(list, types, [&](const SlotList& part, unsigned count) {
    launch(keep_largest_kernel, dim3(grid_for(rows * cols, block), count), block, 0, part, places + begin * k, k, rule);
    begin += count;
  });
}

// Sorts one matrix at a time, so that scratch memory holds a copy of only one matrix.
void CudaBackend::do_sort_along(const std::vector<Tensor>& matrices, Tensor keys, Along along) {
  int64_t k = width_of(along, matrices[0]), size = matrices[0].numel();
  float* copy = workspace<float>(size + k);
  int* places = reinterpret_cast<int*>(copy + size);
  for (size_t i = 0; i < matrices.size(); ++i) {
    const std::vector<Tensor> one = {matrices[i]};
    std::vector<Slot> slots = slots_of(one, {});
    slots[0].sums = copy;
    launch(places_kernel, grid_for(k, block), block, 0, places, keys.as<float>() + static_cast<int64_t>(i) * k, k,
           int64_t{1});
    for_lists(slots, types_of(one, {}), [&](const SlotList& list, unsigned n) {
      launch(gather_kernel, dim3(grid_for(size, block), n), block, 0, list, places, k, along);
      launch(store_sums_kernel, dim3(grid_for(size, block), n), block, 0, list);
    });
  }
}

}  // namespace rowan
