// Checks of the optimizer operations.
#include "base/error.h"
#include "kernels/check.h"

namespace rowan::check {
namespace {

using Slots = std::vector<OptimizerSlot>;

void floats(const char* op, const char* argument, size_t i, const Tensor& x) {
  if (x.empty()) fail("{}: {} of slot {} is missing", op, argument, i);
  if (x.dtype == DType::i32) fail("{}: {} of slot {} is {}, must be f32 or bf16", op, argument, i, x.describe());
}

void sized(const char* op, const char* argument, size_t i, const Tensor& x, int64_t count) {
  floats(op, argument, i, x);
  if (x.numel() != count) fail("{}: {} of slot {} is {}, must have {} elements", op, argument, i, x.describe(), count);
}

void matrix(const char* op, const char* argument, size_t i, const Tensor& x) {
  floats(op, argument, i, x);
  if (x.rank != 2) fail("{}: {} of slot {} is {}, must be [out, in]", op, argument, i, x.describe());
}

// Weights and masters of `count` elements each (of their own size when 0), of the same dtypes in every slot.
void values(const char* op, const Slots& slots, int64_t count) {
  for (size_t i = 0; i < slots.size(); ++i) {
    const Tensor &weight = slots[i].weight, &master = slots[i].master;
    sized(op, "weight", i, weight, count ? count : weight.numel());
    if (weight.dtype != slots[0].weight.dtype || master.empty() != slots[0].master.empty())
      fail("{}: slots 0 and {} differ in the dtype of the weight or in having a master", op, i);
    if (master.empty()) continue;
    sized(op, "master", i, master, weight.numel());
    if (master.dtype != DType::f32) fail("{}: master of slot {} is {}, must be f32", op, i, master.describe());
  }
}

// Gradients and momentum buffers, of the same dtypes in every slot.
void momenta(const char* op, const Slots& slots, int64_t count) {
  for (size_t i = 0; i < slots.size(); ++i) {
    const Tensor &gradient = slots[i].gradient, &first = slots[i].first;
    sized(op, "gradient", i, gradient, count ? count : slots[i].weight.numel());
    sized(op, "first", i, first, gradient.numel());
    if (gradient.dtype != slots[0].gradient.dtype || first.dtype != slots[0].first.dtype)
      fail("{}: slots 0 and {} differ in the dtype of gradient or first", op, i);
  }
}

void updates(const char* op, const Tensor& update) {
  floats(op, "update", 0, update);
  if (update.rank != 3) fail("{}: update is {}, must be [n, out, in]", op, update.describe());
}

void matches(const char* op, const Tensor& update, const Slots& slots) {
  updates(op, update);
  if (update.dim(0) != static_cast<int64_t>(slots.size()))
    fail("{}: update is {}, but there are {} slots", op, update.describe(), slots.size());
}

void sums(const char* op, const char* argument, const Tensor& x, int64_t n, int64_t k) {
  if (x.empty() || x.dtype != DType::f32 || x.rank != 2 || x.dim(0) != n || x.dim(1) != k)
    fail("{}: {} is {}, must be f32[{}, {}]", op, argument, x.describe(), n, k);
}

int64_t width(Along along, int64_t rows, int64_t cols) {
  return along == Along::row ? rows : along == Along::column ? cols : 1;
}

}  // namespace

void adamw(const Slots& slots) {
  values("adamw", slots, 0);
  momenta("adamw", slots, 0);
  for (size_t i = 0; i < slots.size(); ++i) {
    sized("adamw", "second", i, slots[i].second, slots[i].weight.numel());
    if (slots[i].second.dtype != slots[0].second.dtype) fail("adamw: slots 0 and {} differ in the dtype of second", i);
  }
}

void normalized_step(const Slots& slots, const NormalizedStepRule& rule) {
  values("normalized_step", slots, 0);
  momenta("normalized_step", slots, 0);
  for (size_t i = 0; i < slots.size(); ++i) matrix("normalized_step", "weight", i, slots[i].weight);
  if (rule.along == Along::matrix) fail("normalized_step: along must be row or column");
  if (rule.eps_mode == Eps::inside) fail("normalized_step: eps can be added to the norm or clamp it");
}

void momentum(Tensor update, const Slots& slots) {
  matches("momentum", update, slots);
  momenta("momentum", slots, update.dim(1) * update.dim(2));
}

void project(Tensor update, const Slots& slots, const ProjectRule& rule) {
  matches("project", update, slots);
  values("project", slots, update.dim(1) * update.dim(2));
  if (rule.along == Along::matrix) fail("project: along must be row or column");
}

void normalize(Tensor update) { updates("normalize", update); }
void sign(Tensor update) { floats("sign", "update", 0, update); }

void sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along) {
  for (size_t i = 0; i < matrices.size(); ++i) {
    matrix("sums_of_squares", "matrix", i, matrices[i]);
    if (!matrices[i].same_shape(matrices[0]) || matrices[i].dtype != matrices[0].dtype)
      fail("sums_of_squares: matrix {} is {}, must be {}", i, matrices[i].describe(), matrices[0].describe());
  }
  if (!matrices.empty())
    sums("sums_of_squares", "out", out, static_cast<int64_t>(matrices.size()),
         width(along, matrices[0].dim(0), matrices[0].dim(1)));
}

void adaptive_factors(Tensor factors, const Slots& slots, Tensor update_sums, Tensor gradient_sums, bool normuon) {
  const char* op = "adaptive_factors";
  const int64_t n = static_cast<int64_t>(slots.size()), k = factors.cols();
  sums(op, "factors", factors, n, k);
  sums(op, "update_sums", update_sums, n, k);
  if (!normuon) sums(op, "gradient_sums", gradient_sums, n, k);
  for (size_t i = 0; i < slots.size(); ++i) {
    sized(op, "second", i, slots[i].second, k);
    if (slots[i].second.dtype != DType::f32)
      fail("{}: second of slot {} is {}, must be f32", op, i, slots[i].second.describe());
  }
}

void second_moment(Tensor update, const Slots& slots) {
  matches("second_moment", update, slots);
  for (size_t i = 0; i < slots.size(); ++i)
    sized("second_moment", "second", i, slots[i].second, update.dim(1) * update.dim(2));
}

void apply(Tensor update, const Slots& slots, Tensor factors, Along along) {
  matches("apply", update, slots);
  values("apply", slots, update.dim(1) * update.dim(2));
  if (!factors.empty()) sums("apply", "factors", factors, update.dim(0), width(along, update.dim(1), update.dim(2)));
}

}  // namespace rowan::check
