#include "kernels/backend.h"

#include "base/error.h"

namespace rowan {

const char* name_of(Category category) {
  static const char* const names[category_count] = {"weights",     "masters",   "gradients", "optimizer_state",
                                                    "activations", "workspace", "data"};
  return names[static_cast<int>(category)];
}

// Until every backend has them.
void Backend::adamw(const std::vector<OptimizerSlot>&, const AdamWRule&) {
  fail("adamw: the backend {} has no such operation", name());
}
void Backend::normalized_step(const std::vector<OptimizerSlot>&, const NormalizedStepRule&) {
  fail("normalized_step: the backend {} has no such operation", name());
}
void Backend::momentum(Tensor, const std::vector<OptimizerSlot>&, const MomentumRule&) {
  fail("momentum: the backend {} has no such operation", name());
}
void Backend::project(Tensor, const std::vector<OptimizerSlot>&, const ProjectRule&) {
  fail("project: the backend {} has no such operation", name());
}
void Backend::normalize(Tensor, const NormalizeRule&) {
  fail("normalize: the backend {} has no such operation", name());
}
void Backend::sign(Tensor) { fail("sign: the backend {} has no such operation", name()); }
void Backend::sums_of_squares(Tensor, const std::vector<Tensor>&, Along, float) {
  fail("sums_of_squares: the backend {} has no such operation", name());
}
void Backend::adaptive_factors(Tensor, const std::vector<OptimizerSlot>&, Tensor, Tensor, const AdaptRule&) {
  fail("adaptive_factors: the backend {} has no such operation", name());
}
void Backend::second_moment(Tensor, const std::vector<OptimizerSlot>&, float, float) {
  fail("second_moment: the backend {} has no such operation", name());
}
void Backend::apply(Tensor, const std::vector<OptimizerSlot>&, Tensor, const ApplyRule&) {
  fail("apply: the backend {} has no such operation", name());
}

}  // namespace rowan
