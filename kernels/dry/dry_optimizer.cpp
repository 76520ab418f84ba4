// The optimizer's operations, counted.
#include "kernels/dry/dry_backend.h"

namespace rowan {
namespace {

// Adds what a call reads and writes of every slot.
void touch(Work& work, std::initializer_list<Tensor> tensors) {
  for (const Tensor& x : tensors) work.bytes += static_cast<double>(x.bytes());
}

}  // namespace

void DryBackend::do_adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule&) {
  Work& work = count(OpFamily::optimizer, {}, {});
  for (const OptimizerSlot& s : slots)
    touch(work, {s.gradient, s.first, s.second, s.value(), s.first, s.second, s.weight, s.master});
}

void DryBackend::do_normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule&) {
  Work& work = count(OpFamily::optimizer, {}, {});
  for (const OptimizerSlot& s : slots) touch(work, {s.gradient, s.first, s.value(), s.first, s.weight, s.master});
}

void DryBackend::do_momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule&) {
  Work& work = count(OpFamily::optimizer, {}, {update});
  for (const OptimizerSlot& s : slots) touch(work, {s.gradient, s.first, s.first});
}

void DryBackend::do_project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule&) {
  Work& work = count(OpFamily::optimizer, {update}, {update});
  for (const OptimizerSlot& s : slots) touch(work, {s.value()});
}

void DryBackend::do_normalize(Tensor update, const NormalizeRule&) { count(OpFamily::optimizer, {update}, {update}); }

void DryBackend::do_sign(Tensor update) { count(OpFamily::optimizer, {update}, {update}); }

void DryBackend::do_sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along, float) {
  Work& work = count(OpFamily::optimizer, {}, {out});
  for (const Tensor& x : matrices) touch(work, {x});
}

void DryBackend::do_adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                                     Tensor gradient_sums, const AdaptRule&) {
  Work& work = count(OpFamily::optimizer, {update_sums, gradient_sums}, {factors});
  for (const OptimizerSlot& s : slots) touch(work, {s.second, s.second});
}

void DryBackend::do_second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, float, float) {
  Work& work = count(OpFamily::optimizer, {update}, {update});
  for (const OptimizerSlot& s : slots) touch(work, {s.second, s.second});
}

void DryBackend::do_apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, const ApplyRule&) {
  Work& work = count(OpFamily::optimizer, {update, factors}, {});
  for (const OptimizerSlot& s : slots) touch(work, {s.value(), s.weight, s.master});
}

}  // namespace rowan
