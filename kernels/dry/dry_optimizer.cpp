// The optimizer's operations: check, and count.
#include "kernels/check.h"
#include "kernels/dry/dry_backend.h"

namespace rowan {
namespace {

// Adds what a call reads and writes of every slot.
void touch(Work& work, std::initializer_list<Tensor> tensors) {
  for (const Tensor& x : tensors) work.bytes += static_cast<double>(x.bytes());
}

}  // namespace

void DryBackend::adamw(const std::vector<OptimizerSlot>& slots, const AdamWRule&) {
  check::adamw(slots);
  Work& work = count(OpFamily::optimizer, {}, {});
  for (const OptimizerSlot& s : slots)
    touch(work, {s.gradient, s.first, s.second, s.value(), s.first, s.second, s.weight, s.master});
}

void DryBackend::normalized_step(const std::vector<OptimizerSlot>& slots, const NormalizedStepRule& rule) {
  check::normalized_step(slots, rule);
  Work& work = count(OpFamily::optimizer, {}, {});
  for (const OptimizerSlot& s : slots) touch(work, {s.gradient, s.first, s.value(), s.first, s.weight, s.master});
}

void DryBackend::momentum(Tensor update, const std::vector<OptimizerSlot>& slots, const MomentumRule&) {
  check::momentum(update, slots);
  Work& work = count(OpFamily::optimizer, {}, {update});
  for (const OptimizerSlot& s : slots) touch(work, {s.gradient, s.first, s.first});
}

void DryBackend::project(Tensor update, const std::vector<OptimizerSlot>& slots, const ProjectRule& rule) {
  check::project(update, slots, rule);
  Work& work = count(OpFamily::optimizer, {update}, {update});
  for (const OptimizerSlot& s : slots) touch(work, {s.value()});
}

void DryBackend::normalize(Tensor update, const NormalizeRule&) {
  check::normalize(update);
  count(OpFamily::optimizer, {update}, {update});
}

void DryBackend::sign(Tensor update) {
  check::sign(update);
  count(OpFamily::optimizer, {update}, {update});
}

void DryBackend::sums_of_squares(Tensor out, const std::vector<Tensor>& matrices, Along along, float) {
  check::sums_of_squares(out, matrices, along);
  Work& work = count(OpFamily::optimizer, {}, {out});
  for (const Tensor& x : matrices) touch(work, {x});
}

void DryBackend::adaptive_factors(Tensor factors, const std::vector<OptimizerSlot>& slots, Tensor update_sums,
                                  Tensor gradient_sums, const AdaptRule& rule) {
  check::adaptive_factors(factors, slots, update_sums, gradient_sums, rule.normuon);
  Work& work = count(OpFamily::optimizer, {update_sums, gradient_sums}, {factors});
  for (const OptimizerSlot& s : slots) touch(work, {s.second, s.second});
}

void DryBackend::second_moment(Tensor update, const std::vector<OptimizerSlot>& slots, float, float) {
  check::second_moment(update, slots);
  Work& work = count(OpFamily::optimizer, {update}, {update});
  for (const OptimizerSlot& s : slots) touch(work, {s.second, s.second});
}

void DryBackend::apply(Tensor update, const std::vector<OptimizerSlot>& slots, Tensor factors, const ApplyRule& rule) {
  check::apply(update, slots, factors, rule.along);
  Work& work = count(OpFamily::optimizer, {update, factors}, {});
  for (const OptimizerSlot& s : slots) touch(work, {s.value(), s.weight, s.master});
}

}  // namespace rowan
