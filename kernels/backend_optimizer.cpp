// Backend's public functions for optimizers. They check arguments and call do_NAME.
#include "kernels/operation.h"

namespace rowan {
namespace {

void floats(const char* op, const char* argument, size_t i, const Tensor& x) {
  if (x.empty()) fail("{}: {} of slot {} is missing", op, argument, i);
  if (x.dtype == DType::i32) fail("{}: {} of slot {}: found {}, expected fp32 or bf16", op, argument, i, x.describe());
}

void sized(const char* op, const char* argument, size_t i, const Tensor& x, int64_t count) {
  floats(op, argument, i, x);
  if (x.numel() != count)
    fail("{}: {} of slot {}: found {}, expected {} elements", op, argument, i, x.describe(), count);
}

void matrix(const char* op, const char* argument, size_t i, const Tensor& x) {
  floats(op, argument, i, x);
  if (x.rank != 2) fail("{}: {} of slot {}: found {}, expected [out, in]", op, argument, i, x.describe());
}

// Checks that each weight has `count` elements, or any number if count is 0, and that its master has as many elements
// as the weight. Also checks that all weights have one dtype, that masters are fp32, and that either all slots have a
// master or none has one.
void values(const char* op, const Slots& slots, int64_t count) {
  for (size_t i = 0; i < slots.size(); ++i) {
    const Tensor &weight = slots[i].weight, &master = slots[i].master;
    sized(op, "weight", i, weight, count ? count : weight.numel());
    const Tensor &first_weight = slots[0].weight, &first_master = slots[0].master;
    const auto with = [](const Tensor& any) { return any.empty() ? "no" : "a"; };
    if (weight.dtype != first_weight.dtype || master.empty() != first_master.empty())
      fail("{}: slot {}: found weight {} and {} master, expected {} and {} master as in slot 0", op, i,
           name_of(weight.dtype), with(master), name_of(first_weight.dtype), with(first_master));
    if (master.empty()) continue;
    sized(op, "master", i, master, weight.numel());
    if (master.dtype != DType::f32) fail("{}: master of slot {}: found {}, expected fp32", op, i, master.describe());
  }
}

// Checks that each gradient and each momentum buffer has `count` elements, or as many as the weight if count is 0. Also
// checks that all gradients have one dtype, and that all momentum buffers have one dtype.
void momenta(const char* op, const Slots& slots, int64_t count) {
  for (size_t i = 0; i < slots.size(); ++i) {
    const Tensor &gradient = slots[i].gradient, &first = slots[i].first;
    sized(op, "gradient", i, gradient, count ? count : slots[i].weight.numel());
    sized(op, "first", i, first, gradient.numel());
    if (gradient.dtype != slots[0].gradient.dtype || first.dtype != slots[0].first.dtype)
      fail("{}: slot {}: found gradient {} and first {}, expected {} and {} as in slot 0", op, i,
           name_of(gradient.dtype), name_of(first.dtype), name_of(slots[0].gradient.dtype),
           name_of(slots[0].first.dtype));
  }
}

void updates(const char* op, const Tensor& update) {
  floats(op, "update", 0, update);
  if (update.rank != 3) fail("{}: update: found {}, expected [n, out, in]", op, update.describe());
}

void matches(const char* op, const Tensor& update, const Slots& slots) {
  updates(op, update);
  if (update.dim(0) != static_cast<int64_t>(slots.size()))
    fail("{}: update: found {}, expected one matrix for each of {} slots", op, update.describe(), slots.size());
}

void sums(const char* op, const char* argument, const Tensor& x, int64_t n, int64_t k) {
  if (x.empty() || x.dtype != DType::f32 || x.rank != 2 || x.dim(0) != n || x.dim(1) != k)
    fail("{}: {}: found {}, expected fp32[{}, {}]", op, argument, x.describe(), n, k);
}

int64_t width(Along along, int64_t rows, int64_t cols) {
  return along == Along::row ? rows : along == Along::column ? cols : 1;
}

// Checks that all matrices have one shape and dtype.
void alike(const char* op, const char* argument, const std::vector<Tensor>& matrices) {
  for (size_t i = 0; i < matrices.size(); ++i) {
    matrix(op, argument, i, matrices[i]);
    if (!matrices[i].same_shape(matrices[0]) || matrices[i].dtype != matrices[0].dtype)
      fail("{}: {} {}: found {}, expected {}", op, argument, i, matrices[i].describe(), matrices[0].describe());
  }
}

void squares(const char* op, const std::vector<Tensor>& a) {
  alike(op, "matrix", a);
  if (!a.empty() && (a[0].dtype != DType::f32 || a[0].dim(0) != a[0].dim(1)))
    fail("{}: matrix 0: found {}, expected fp32 and square", op, a[0].describe());
}

Tensor first_of(const Slots& slots) { return slots.empty() ? Tensor() : slots[0].weight; }

}  // namespace

void Backend::adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule& rule) {
  Operation op(*this, "adamw");
  values(op.name(), slots, 0);
  momenta(op.name(), slots, 0);
  for (size_t i = 0; i < slots.size(); ++i) {
    sized(op.name(), "second", i, slots[i].second, slots[i].weight.numel());
    if (slots[i].second.dtype != slots[0].second.dtype)
      fail("adamw: second of slot {}: found {}, expected {} as in slot 0", i, slots[i].second.describe(),
           name_of(slots[0].second.dtype));
  }
  op.run(first_of(slots), &Backend::do_adamw, slots, rule);
}

void Backend::normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule) {
  Operation op(*this, "normalized_step");
  values(op.name(), slots, 0);
  momenta(op.name(), slots, 0);
  for (size_t i = 0; i < slots.size(); ++i) matrix(op.name(), "weight", i, slots[i].weight);
  if (rule.along == Along::matrix) fail("normalized_step: along: found matrix, expected row or column");
  if (rule.eps_mode == Eps::inside) fail("normalized_step: eps_mode: found inside, expected add or clamp");
  op.detail([&] { return fmt::format(" {}{}", name_of(rule.along), rule.project ? ", project" : ""); });
  op.run(first_of(slots), &Backend::do_normalized_step, slots, rule);
}

void Backend::momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule& rule) {
  Operation op(*this, "momentum");
  matches(op.name(), update, slots);
  momenta(op.name(), slots, update.dim(1) * update.dim(2));
  op.run(update, &Backend::do_momentum, update, slots, rule);
}

void Backend::project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule) {
  Operation op(*this, "project");
  matches(op.name(), update, slots);
  values(op.name(), slots, update.dim(1) * update.dim(2));
  if (rule.along == Along::matrix) fail("project: along: found matrix, expected row or column");
  op.detail([&] { return fmt::format(" {}", name_of(rule.along)); });
  op.run(update, &Backend::do_project, update, slots, rule);
}

void Backend::normalize(Tensor update, const NormalizeRule& rule) {
  Operation op(*this, "normalize");
  updates(op.name(), update);
  op.detail([&] {
    return fmt::format("{}{}{}", rule.rows ? " row" : "", rule.columns ? " column" : "", rule.matrix ? " matrix" : "");
  });
  op.run(update, &Backend::do_normalize, update, rule);
}

void Backend::sign(Tensor update) {
  Operation op(*this, "sign");
  floats(op.name(), "update", 0, update);
  op.run(update, &Backend::do_sign, update);
}

void Backend::sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float scale) {
  Operation op(*this, "sums_of_squares");
  alike(op.name(), "matrix", matrices);
  if (!matrices.empty())
    sums(op.name(), "out", out, static_cast<int64_t>(matrices.size()),
         width(along, matrices[0].dim(0), matrices[0].dim(1)));
  op.detail([&] { return fmt::format(" {}", name_of(along)); });
  op.run(matrices.empty() ? out : matrices[0], &Backend::do_sums_of_squares, out, matrices, along, scale);
}

void Backend::adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                               Tensor gradient_sums, const AdaptRule& rule) {
  Operation op(*this, "adaptive_factors");
  const int64_t n = static_cast<int64_t>(slots.size()), k = factors.cols();
  sums(op.name(), "factors", factors, n, k);
  sums(op.name(), "update_sums", update_sums, n, k);
  if (!rule.normuon) sums(op.name(), "gradient_sums", gradient_sums, n, k);
  for (size_t i = 0; i < slots.size(); ++i) {
    sized(op.name(), "second", i, slots[i].second, k);
    if (slots[i].second.dtype != DType::f32)
      fail("{}: second of slot {}: found {}, expected fp32", op.name(), i, slots[i].second.describe());
  }
  op.detail([&] { return std::string(rule.normuon ? " normuon" : ""); });
  op.run(factors, &Backend::do_adaptive_factors, factors, slots, update_sums, gradient_sums, rule);
}

void Backend::second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, const SecondMomentRule& rule) {
  Operation op(*this, "second_moment");
  matches(op.name(), update, slots);
  for (size_t i = 0; i < slots.size(); ++i) {
    sized(op.name(), "second", i, slots[i].second, update.dim(1) * update.dim(2));
    if (rule.of_gradient) sized(op.name(), "gradient", i, slots[i].gradient, update.dim(1) * update.dim(2));
  }
  op.detail([&] { return std::string(rule.of_gradient ? " of gradients" : ""); });
  op.run(update, &Backend::do_second_moment, update, slots, rule);
}

void Backend::apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, Tensor keeps,
                    const ApplyRule& rule) {
  Operation op(*this, "apply");
  matches(op.name(), update, slots);
  values(op.name(), slots, update.dim(1) * update.dim(2));
  const int64_t k = width(rule.along, update.dim(1), update.dim(2));
  if (!factors.empty()) sums(op.name(), "factors", factors, update.dim(0), k);
  if (!keeps.empty()) sums(op.name(), "keeps", keeps, update.dim(0), k);
  op.run(update, &Backend::do_apply, update, slots, factors, keeps, rule);
}

void Backend::sums_along(Tensor out, const std::vector<Tensor>& a, const std::vector<Tensor>& b, Along along) {
  Operation op(*this, "sums_along");
  alike(op.name(), "a", a);
  alike(op.name(), "b", b);
  if (!b.empty() && (b.size() != a.size() || !b[0].same_shape(a[0])))
    fail("sums_along: b: found {} x {}, expected {} x {}", b.size(), b[0].describe(), a.size(), a[0].describe());
  if (!a.empty()) sums(op.name(), "out", out, static_cast<int64_t>(a.size()), width(along, a[0].dim(0), a[0].dim(1)));
  op.detail([&] { return fmt::format(" {}", name_of(along)); });
  op.run(a.empty() ? out : a[0], &Backend::do_sums_along, out, a, b, along);
}

void Backend::scale_along(Tensor update, Tensor factors, Along along) {
  Operation op(*this, "scale_along");
  updates(op.name(), update);
  sums(op.name(), "factors", factors, update.dim(0), width(along, update.dim(1), update.dim(2)));
  op.detail([&] { return fmt::format(" {}", name_of(along)); });
  op.run(update, &Backend::do_scale_along, update, factors, along);
}

void Backend::power(Tensor x, const PowerRule& rule) {
  Operation op(*this, "power");
  floats(op.name(), "x", 0, x);
  if (x.dtype != DType::f32) fail("power: x: found {}, expected fp32", x.describe());
  op.run(x, &Backend::do_power, x, rule);
}

void Backend::multiply(Tensor y, Tensor x) {
  Operation op(*this, "multiply");
  op.same("x", x, y);
  if (x.dtype != DType::f32) fail("multiply: x: found {}, expected fp32", x.describe());
  op.run(y, &Backend::do_multiply, y, x);
}

void Backend::retract_factors(Tensor steps, Tensor keeps, Tensor ww, Tensor uw, Tensor uu, Tensor radii,
                              const RetractRule& rule) {
  Operation op(*this, "retract_factors");
  op.rank("steps", steps, 2);
  sums(op.name(), "steps", steps, steps.dim(0), steps.dim(1));
  for (auto [argument, x] : {std::pair("keeps", keeps), {"ww", ww}, {"uw", uw}, {"uu", uu}})
    op.same(argument, x, steps);
  if (!radii.empty()) op.same("radii", radii, steps);
  op.run(steps, &Backend::do_retract_factors, steps, keeps, ww, uw, uu, radii, rule);
}

void Backend::keep_largest(Tensor update, const std::vector<OptimizerSlot>& slots, const LargestRule& rule) {
  Operation op(*this, "keep_largest");
  matches(op.name(), update, slots);
  momenta(op.name(), slots, update.dim(1) * update.dim(2));
  if (rule.along == Along::matrix) fail("keep_largest: along: found matrix, expected row or column");
  const int64_t most = update.dim(rule.along == Along::row ? 1 : 2);
  if (rule.count < 0 || rule.count > most)
    fail("keep_largest: count: found {}, expected 0 to {}, the number of {}s", rule.count, most, name_of(rule.along));
  op.detail([&] { return fmt::format(" {}", name_of(rule.along)); });
  op.run(update, &Backend::do_keep_largest, update, slots, rule);
}

void Backend::sort_along(const std::vector<Tensor>& matrices, Tensor keys, Along along) {
  Operation op(*this, "sort_along");
  alike(op.name(), "matrix", matrices);
  if (along == Along::matrix) fail("sort_along: along: found matrix, expected row or column");
  if (matrices.empty()) return;
  sums(op.name(), "keys", keys, static_cast<int64_t>(matrices.size()),
       width(along, matrices[0].dim(0), matrices[0].dim(1)));
  op.detail([&] { return fmt::format(" {}", name_of(along)); });
  op.run(matrices[0], &Backend::do_sort_along, matrices, keys, along);
}

void Backend::eigenvectors(const std::vector<Tensor>& q, const std::vector<Tensor>& values,
                           const std::vector<Tensor>& a) {
  Operation op(*this, "eigenvectors");
  squares(op.name(), a);
  if (q.size() != a.size() || values.size() != a.size())
    fail("eigenvectors: found {} q and {} values, expected {} of each", q.size(), values.size(), a.size());
  for (size_t i = 0; i < a.size(); ++i) {
    op.same("q", q[i], a[i]);
    op.is("values", values[i], DType::f32, {a[i].dim(0)});
  }
  if (!a.empty()) op.run(a[0], &Backend::do_eigenvectors, q, values, a);
}

void Backend::orthonormalize(const std::vector<Tensor>& a) {
  Operation op(*this, "orthonormalize");
  squares(op.name(), a);
  if (!a.empty()) op.run(a[0], &Backend::do_orthonormalize, a);
}

}  // namespace rowan
