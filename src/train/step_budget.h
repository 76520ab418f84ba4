// How long a step should take on a GPU, kernel by kernel, from the bytes and FLOPs that a plan has counted and the
// rates of a device: a floor to hold measurements against (`rowan bench kernels`), and what a run would cost.
#pragma once

#include <vector>

#include "train/device_profile.h"
#include "train/plan.h"

namespace rowan {

struct BudgetRow {
  Kernel kernel;
  double seconds = 0;  // a step
};

struct StepBudget {
  std::vector<BudgetRow> rows;  // the longest first
  double kernel_seconds = 0;    // of one rank, one kernel after the other
  double message_seconds = 0;   // what it sends, on the link; gradients travel during the backward
  double step_seconds() const { return kernel_seconds > message_seconds ? kernel_seconds : message_seconds; }
};

// `tf32`: products of f32 factors are TF32's.
StepBudget step_budget(const Plan& plan, const DeviceProfile& device, bool tf32);

}  // namespace rowan
