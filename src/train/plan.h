// The memory, FLOPs and traffic of a run, counted by running the real model, loss and optimizer on the dry backend,
// which computes nothing. So no formula is written twice.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernels/dry/dry_backend.h"
#include "train/config.h"

namespace rowan {

struct Plan {
  std::array<size_t, category_count> bytes{};  // peak of each category on one rank
  size_t total_bytes = 0;                      // peak of all together
  double step_flops = 0;       // of one rank's step: products and causal attention, recomputation included
  double step_flops_full = 0;  // the same with every attention score counted
  double attention_flops = 0;  // part of step_flops
  double optimizer_flops = 0, optimizer_bytes = 0;  // of one rank's update
  std::vector<Kernel> kernels;                      // of one rank's step and update, each name once
  double work_balance = 1, memory_balance = 1;      // of the optimizer over ranks: largest over mean
  std::string uneven;  // the reason and a remedy when one matrix is more work than an equal share; else empty
  // Of one step, mean over ranks: gradients to their owners (with "none": to all), updated weights to all.
  double gradient_bytes_sent = 0, weight_bytes_sent = 0;
};

// Of rank 0 of `ranks`.
Plan make_plan(const TrainConfig& config, int ranks);

// "1.2 GB at most: weights 0.3 GB, ...".
std::string memory_text(const Plan& plan);

}  // namespace rowan
