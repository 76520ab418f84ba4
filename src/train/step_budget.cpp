#include "train/step_budget.h"

#include <algorithm>

namespace rowan {
namespace {

// Estimated fractions of the copy rate that kernels reach. stream_share: kernels with Bound::copy or Bound::epilogue.
// optimizer_share: kernels with Bound::optimizer, which read and write several arrays at once.
constexpr double stream_share = 0.88, optimizer_share = 0.8;
// An estimate of the fraction of the fp32 rate that attention reaches without tensor cores.
constexpr double plain_attention_share = 1.0 / 64;

double seconds_of(const Kernel& kernel, const DeviceProfile& device, bool tf32) {
  const double touched = kernel.bytes / device.copy;
  switch (kernel.bound) {
    case Bound::copy:
      return touched / stream_share;
    case Bound::optimizer:
      return touched / optimizer_share;
    case Bound::product:
      return std::max(touched, kernel.flops / device.products(kernel.dtype, tf32));
    case Bound::attention_forward:
      return std::max(touched, kernel.flops / device.attention_forward);
    case Bound::attention_backward:
      return std::max(touched, kernel.flops / device.attention_backward);
    case Bound::plain_attention:
      return std::max(touched, kernel.flops / (device.fp32 * plain_attention_share));
    case Bound::epilogue:
      return device.fused_epilogues ? 0 : touched / stream_share;
  }
  return 0;
}

}  // namespace

StepBudget step_budget(const Plan& plan, const DeviceProfile& device, bool tf32) {
  StepBudget budget;
  for (const Kernel& kernel : plan.kernels) {
    budget.rows.push_back({kernel, seconds_of(kernel, device, tf32)});
    budget.kernel_seconds += budget.rows.back().seconds;
  }
  std::stable_sort(budget.rows.begin(), budget.rows.end(),
                   [](const BudgetRow& a, const BudgetRow& b) { return a.seconds > b.seconds; });
  if (device.link > 0) budget.message_seconds = (plan.gradient_bytes_sent + plan.weight_bytes_sent) / device.link;
  return budget;
}

}  // namespace rowan
