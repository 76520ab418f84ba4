// Optimizer operations that work element by element. Except for sign(), one launch covers up to 40 slots.
// AdamW moves 30 bytes per parameter with bf16 weights: it reads the gradient, both moments and the master in fp32, and
// writes the moments, the master and the weight. Lower bound on time: this traffic at the bandwidth of a copy.
#include "kernels/cuda/cuda_backend.h"
#include "kernels/cuda/optimizer_slots.cuh"

namespace rowan {
namespace {

using namespace cuda;

constexpr int block = 256;

// Three blocks per multiprocessor. Without this bound, the kernel takes so many registers that only two fit.
template <int width>
__global__ void __launch_bounds__(block, 3) adamw_kernel(const __grid_constant__ SlotList list, AdamWRule rule) {
  const Slot& s = list.slots[blockIdx.y];
  for_elements<width>(s.count(), [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float g[n], m[n], v[n], x[n], keep[n], step[n];
    load_any(g, s.gradient, i, list.types.gradient);
    load_any(m, s.first, i, list.types.first);
    load_any(v, s.second, i, list.types.second);
    load_value(x, s, list.types, i);  // here, because the compiler cannot move a load before stores to other arrays
#pragma unroll
    for (int j = 0; j < n; ++j) {
      float gradient = rule.grad_scale * g[j];
      m[j] = rule.first.keep * m[j] + rule.first.take * gradient;
      v[j] = rule.second.keep * v[j] + rule.second.take * gradient * gradient;
      keep[j] = 1.0f - rule.decay;
      step[j] = s.scale * (rule.step * m[j] / (rule.root_scale * sqrtf(v[j]) + rule.eps));
    }
    store_any(s.first, i, list.types.first, m);
    store_any(s.second, i, list.types.second, v);
    store_weights(s, list.types, i, x, keep, step, rule.rounding, rule.mask);
  });
}

template <int width>
__global__ void momentum_kernel(const __grid_constant__ SlotList list, MomentumRule rule) {
  const Slot& s = list.slots[blockIdx.y];
  for_elements<width>(s.count(), [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float g[n], b[n], u[n];
    load_any(g, s.gradient, i, list.types.gradient);
    load_any(b, s.first, i, list.types.first);
    mix_momentum(rule, g, b, u);
    store_any(s.first, i, list.types.first, b);
    store_any(s.update, i, list.types.update, u);
  });
}

template <int width>
__global__ void second_moment_kernel(const __grid_constant__ SlotList list, SecondMomentRule rule) {
  const Slot& s = list.slots[blockIdx.y];
  for_elements<width>(s.count(), [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float u[n], v[n], x[n];
    load_any(u, s.update, i, list.types.update);
    load_any(v, s.second, i, list.types.second);
    if (rule.of_gradient) load_any(x, s.gradient, i, list.types.gradient);
#pragma unroll
    for (int j = 0; j < n; ++j) {
      float value = rule.of_gradient ? rule.grad_scale * x[j] : u[j];
      v[j] = rule.second.keep * v[j] + rule.second.take * value * value;
      u[j] /= rule.root_scale * sqrtf(v[j]) + rule.eps;
    }
    store_any(s.second, i, list.types.second, v);
    store_any(s.update, i, list.types.update, u);
  });
}

// ApplyRule defines f and d. slot.sums holds the factors f, and `keeps` holds values that replace 1 - d. Both have one
// value per row, column or matrix. If slot.sums is null, f is 1. If `keeps` is null, 1 - d is used.
template <int width>
__global__ void apply_kernel(const __grid_constant__ SlotList list, const float* keeps, int64_t k, ApplyRule rule) {
  const Slot& s = list.slots[blockIdx.y];
  const float* kept = keeps ? keeps + blockIdx.y * k : nullptr;
  for_elements<width>(s.count(), [&](int64_t i, auto w) {
    constexpr int n = decltype(w)::value;
    float u[n], keep[n], step[n];
    load_any(u, s.update, i, list.types.update);
#pragma unroll
    for (int j = 0; j < n; ++j) {
      int64_t which = rule.along == Along::row ? i / s.cols : rule.along == Along::column ? i % s.cols + j : 0;
      float f = s.sums ? s.sums[which] : 1.0f;
      float decay = rule.weight_decay * (rule.adaptive_decay ? at_most(rule.lr * f, rule.cap) : rule.lr) *
                    (rule.scaled_decay ? s.scale : 1.0f);
      keep[j] = kept ? kept[which] : 1.0f - at_most(decay, 1.0f);
      float size = at_most(rule.lr * f * s.scale, rule.cap);
      step[j] = rule.rounded ? size / s.scale * rounded<bfloat16>(s.scale * u[j]) : size * u[j];
    }
    update_weights(s, list.types, i, keep, step, rule.rounding, rule.mask, rule.decay_last);
  });
}

template <typename T, int width>
__global__ void sign_kernel(T* x, int64_t count) {
  for_elements<width>(count, [&](int64_t i, auto w) {
    float values[decltype(w)::value];
    load(values, x + i);
    for (float& value : values) value = value > 0.0f ? 1.0f : value < 0.0f ? -1.0f : value;
    store(x + i, values);
  });
}

}  // namespace

template <typename Rule>
void CudaBackend::over_elements(void (*vectors)(cuda::SlotList, Rule), void (*scalars)(cuda::SlotList, Rule), int width,
                                const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types, const Rule& rule) {
  int64_t count = largest(slots, [](const Slot& s) { return s.count(); });
  for_lists(slots, types, [&](const SlotList& list, unsigned n) {
    unsigned blocks = std::max(1u, grid_for(ceil_div(count, width), block) / std::max(1u, n / 8));
    launch(width > 1 ? vectors : scalars, dim3(blocks, n), block, 0, list, rule);
  });
}

void CudaBackend::do_adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule& rule) {
  std::vector<Slot> list = device_slots(slots);
  over_elements(adamw_kernel<vector_elements>, adamw_kernel<1>, slots_width(list, false), list, types_of(slots), rule);
}

void CudaBackend::do_momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule& rule) {
  std::vector<Slot> list = device_slots(slots);
  SlotTypes types = types_of(slots);
  attach_update(list, types, update);
  run_momentum(list, types, rule);
}

void CudaBackend::run_momentum(const std::vector<cuda::Slot>& slots, const cuda::SlotTypes& types,
                               const MomentumRule& rule) {
  over_elements(momentum_kernel<vector_elements>, momentum_kernel<1>, slots_width(slots, false), slots, types, rule);
}

void CudaBackend::do_second_moment(Tensor update, const std::vector<OptimizerSlot>& slots,
                                   const SecondMomentRule& rule) {
  std::vector<Slot> list = device_slots(slots);
  SlotTypes types = types_of(slots);
  attach_update(list, types, update);
  int width = slots_width(list, false);
  int64_t count = update.dim(1) * update.dim(2);
  for_lists(list, types, [&](const SlotList& part, unsigned n) {
    launch(width > 1 ? second_moment_kernel<vector_elements> : second_moment_kernel<1>,
           dim3(grid_for(ceil_div(count, width), block), n), block, 0, part, rule);
  });
}

void CudaBackend::do_apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, Tensor keeps,
                           const ApplyRule& rule) {
  std::vector<Slot> list = device_slots(slots);
  SlotTypes types = types_of(slots);
  attach_update(list, types, update);
  if (!factors.empty()) attach_sums(list, factors.as<float>(), factors.cols());
  bool whole_rows = !(factors.empty() && keeps.empty()) && rule.along != Along::matrix;
  int width = slots_width(list, whole_rows);
  int64_t count = update.dim(1) * update.dim(2), k = keeps.empty() ? 0 : keeps.cols(), begin = 0;
  for_lists(list, types, [&](const SlotList& part, unsigned n) {
    unsigned blocks = std::max(1u, grid_for(ceil_div(count, width), block) / std::max(1u, n / 8));
    const float* kept = keeps.empty() ? nullptr : keeps.as<float>() + begin * k;
    launch(width > 1 ? apply_kernel<vector_elements> : apply_kernel<1>, dim3(blocks, n), block, 0, part, kept, k, rule);
    begin += n;
  });
}

void CudaBackend::do_sign(Tensor update) {
  with_dtype(update.dtype, [&](auto type) {
    using T = decltype(type);
    with_width(vector_width({update.data}), [&](auto w) {
      constexpr int width = decltype(w)::value;
      launch(sign_kernel<T, width>, grid_for(ceil_div(update.numel(), width), block), block, 0, update.as<T>(),
             update.numel());
    });
  });
}

}  // namespace rowan
