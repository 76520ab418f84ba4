// The memory, FLOPs and traffic of a run, counted by running the real model, loss and optimizer on the dry backend,
// which computes nothing. So no formula is repeated here.
#pragma once

#include <array>
#include <string>
#include <vector>

#include "kernels/dry/dry_backend.h"
#include "train/config.h"

namespace rowan {

struct Plan {
  std::array<size_t, category_count> bytes{};  // peak bytes of each category on one rank
  size_t total_bytes = 0;                      // peak bytes of all categories together
  double step_flops = 0;       // FLOPs of one rank's step: matrix products and causal attention, with recomputation
  double step_flops_full = 0;  // the same, with masked attention scores counted too
  double attention_flops = 0;  // the part of step_flops that is attention
  double optimizer_flops = 0, optimizer_bytes = 0;  // FLOPs and bytes of one rank's update
  std::vector<Kernel> kernels;                      // kernels of one rank's step and update, merged by name
  double work_balance = 1, memory_balance = 1;      // optimizer's load on ranks: largest over mean
  std::string uneven;  // reason and remedy if one matrix is more work than an equal share; else empty
  // Bytes that a rank sends in one step, averaged over ranks. Gradients go to their owners (with shard "none", to all
  // ranks), updated weights to all ranks.
  double gradient_bytes_sent = 0, weight_bytes_sent = 0;
};

// The plan of rank 0 of `ranks` ranks. Scratch memory is a GPU's if config.device is cuda, else a CPU's.
Plan make_plan(const TrainConfig& config, int ranks);

// Throws Error if a rank needs more memory than this machine has free. The message names the setting to change. Without
// this check Linux would grant the memory, and the OOM killer would end the process later. GPU memory is not checked.
void check_memory(const TrainConfig& config, const Backend& backend, int ranks);

// A text such as "1.2 GB at most: weights 0.3 GB, ...".
std::string memory_text(const Plan& plan);

}  // namespace rowan
