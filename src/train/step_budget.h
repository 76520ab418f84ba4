// The time that a step should take on a GPU, kernel by kernel. It is computed from the bytes and FLOPs of the plan and
// the rates of the device. `rowan plan --device` shows it.
#pragma once

#include <vector>

#include "train/device_profile.h"
#include "train/plan.h"

namespace rowan {

struct BudgetRow {
  Kernel kernel;
  double seconds = 0;  // seconds per step
};

struct StepBudget {
  std::vector<BudgetRow> rows;  // kernels, longest first
  double kernel_seconds = 0;    // seconds of one rank's kernels, run one after the other
  double message_seconds = 0;   // seconds of the rank's messages, sent while kernels run; 0 if the link is unknown
  double step_seconds() const { return kernel_seconds > message_seconds ? kernel_seconds : message_seconds; }
};

// `tf32`: products of fp32 operands use TF32.
StepBudget step_budget(const Plan& plan, const DeviceProfile& device, bool tf32);

}  // namespace rowan
