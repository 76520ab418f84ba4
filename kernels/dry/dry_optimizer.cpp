// Counts the optimizer's operations.
#include <algorithm>

#include "kernels/dry/dry_backend.h"
#include "kernels/gpu_workspace.h"

namespace rowan {

void DryBackend::do_adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule&) {
  count(OpFamily::optimizer, {}, {});
  for (const OptimizerSlot& s : slots)
    touch(OpFamily::optimizer, {s.gradient, s.first, s.second, s.value(), s.first, s.second, s.weight, s.master});
}

void DryBackend::do_normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule) {
  count(OpFamily::optimizer, {}, {});
  std::vector<int64_t> rooms;
  int64_t widest = 0;
  for (const OptimizerSlot& s : slots) {
    touch(OpFamily::optimizer, {s.gradient, s.first, s.value(), s.first, s.weight, s.master});
    rooms.push_back(staged_room(s.weight.rows(), s.weight.cols()));
    widest = std::max(widest, s.weight.cols());
  }
  const bool one_pass = rule.along == Along::row && row_step_bytes(widest, rule.project) <= planned_shared_bytes;
  if (!multiprocessors_ || one_pass) return;
  for (size_t begin = 0; begin < rooms.size();) {
    double used = 0;
    for (const size_t end = begin + staged_batch(rooms, begin); begin < end; ++begin)
      used += static_cast<double>(rooms[begin]);
    use_scratch(sizeof(float) * used);
  }
}

void DryBackend::do_momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule&) {
  count(OpFamily::optimizer, {}, {update});
  for (const OptimizerSlot& s : slots) touch(OpFamily::optimizer, {s.gradient, s.first, s.first});
}

void DryBackend::do_project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule&) {
  count(OpFamily::optimizer, {update}, {update});
  for (const OptimizerSlot& s : slots) touch(OpFamily::optimizer, {s.value()});
}

void DryBackend::do_normalize(Tensor update, const NormalizeRule&) { count(OpFamily::optimizer, {update}, {update}); }

void DryBackend::do_sign(Tensor update) { count(OpFamily::optimizer, {update}, {update}); }

void DryBackend::do_sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along, float) {
  count(OpFamily::optimizer, {}, {out});
  for (const Tensor& x : matrices) touch(OpFamily::optimizer, {x});
}

void DryBackend::do_adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                                     Tensor gradient_sums, const AdaptRule&) {
  count(OpFamily::optimizer, {update_sums, gradient_sums}, {factors});
  for (const OptimizerSlot& s : slots) touch(OpFamily::optimizer, {s.second, s.second});
}

void DryBackend::do_second_moment(Tensor update, const std::vector<OptimizerSlot>& slots,
                                  const SecondMomentRule& rule) {
  count(OpFamily::optimizer, {update}, {update});
  for (const OptimizerSlot& s : slots)
    touch(OpFamily::optimizer, {s.second, s.second, rule.of_gradient ? s.gradient : Tensor()});
}

void DryBackend::do_apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, Tensor keeps,
                          const ApplyRule&) {
  count(OpFamily::optimizer, {update, factors, keeps}, {});
  for (const OptimizerSlot& s : slots) touch(OpFamily::optimizer, {s.value(), s.weight, s.master});
}

void DryBackend::do_sums_along(Tensor out, const std::vector<Tensor>& a, const std::vector<Tensor>& b, Along) {
  count(OpFamily::optimizer, {}, {out});
  for (const Tensor& x : a) touch(OpFamily::optimizer, {x});
  for (const Tensor& x : b) touch(OpFamily::optimizer, {x});
}

void DryBackend::do_scale_along(Tensor update, Tensor factors, Along) {
  count(OpFamily::optimizer, {update, factors}, {update});
}

void DryBackend::do_power(Tensor x, const PowerRule&) { count(OpFamily::optimizer, {x}, {x}); }

void DryBackend::do_multiply(Tensor y, Tensor x) { count(OpFamily::optimizer, {y, x}, {y}); }

void DryBackend::do_retract_factors(Tensor steps, Tensor keeps, Tensor ww, Tensor uw, Tensor uu, Tensor radii,
                                    const RetractRule&) {
  count(OpFamily::optimizer, {steps, ww, uw, uu, radii}, {steps, keeps});
}

void DryBackend::do_keep_largest(Tensor update, const std::vector<OptimizerSlot>& slots, const LargestRule&) {
  count(OpFamily::optimizer, {update}, {update});
  for (const OptimizerSlot& s : slots) touch(OpFamily::optimizer, {s.first, s.first});
}

void DryBackend::do_sort_along(const std::vector<Tensor>& matrices, Tensor keys, Along) {
  count(OpFamily::optimizer, {keys}, {});
  for (const Tensor& x : matrices) touch(OpFamily::optimizer, {x, x});
  if (multiprocessors_) use_scratch(sizeof(float) * static_cast<double>(matrices[0].numel() + keys.cols()));
}

// Counts eight Jacobi sweeps over k^2 / 2 pairs of rows, and 20 k FLOPs for the dot products and the rotation of a
// pair. This is an estimate: kernels/cuda/eigen.cu runs 14 sweeps, but does not rotate rows that are already
// orthogonal. For each matrix [k, k], scratch memory holds two matrices of the same size in doubles.
void DryBackend::do_eigenvectors(const std::vector<Tensor>& q, const std::vector<Tensor>& values,
                                 const std::vector<Tensor>& a) {
  count(OpFamily::optimizer, {}, {});
  for (size_t i = 0; i < a.size(); ++i) {
    const double k = static_cast<double>(a[i].dim(0));
    touch(OpFamily::optimizer, {a[i], q[i], values[i]});
    count_products(OpFamily::optimizer, 80 * k * k * k, 80 * k * k * k);
  }
  use_eigen_scratch(a, 2, 1);
}

// Applying the Householder reflections to the matrix takes 4/3 k^3 FLOPs, and multiplying them takes another 4/3 k^3.
// For each matrix [k, k], a GPU's scratch memory holds three matrices of the same size in doubles: a copy, the
// reflections and their product. A CPU needs only two, because the product overwrites the copy.
void DryBackend::do_orthonormalize(const std::vector<Tensor>& a) {
  count(OpFamily::optimizer, {}, {});
  for (const Tensor& x : a) {
    const double k = static_cast<double>(x.dim(0));
    touch(OpFamily::optimizer, {x, x});
    const double flops = 8.0 / 3.0 * k * k * k;
    count_products(OpFamily::optimizer, flops, flops);
  }
  use_eigen_scratch(a, 3, 0);
}

}  // namespace rowan
