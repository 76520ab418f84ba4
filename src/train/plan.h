// The memory, FLOPs and traffic of a run. They are counted by running the real model, loss and optimizer on the dry
// backend, which computes nothing. check_memory() compares a plan with this machine's memory. Also the number of
// checkpoints that a run keeps.
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
  double step_flops = 0;       // Work::flops of one rank's passes in a step, with recomputed activations
  double step_flops_full = 0;  // step_flops plus the FLOPs of masked attention scores
  double attention_flops = 0;  // the part of step_flops that is attention
  double optimizer_flops = 0, optimizer_bytes = 0;  // mean FLOPs and bytes of one rank's update
  std::vector<Kernel> kernels;                      // kernels of one rank's step, including the update
  double work_balance = 1, memory_balance = 1;      // the optimizer's largest load on a rank, divided by the mean load
  std::string uneven;  // why one matrix makes the ranks' work uneven, and the remedy; "" if none does
  // Bytes that a rank sends in one step, averaged over ranks: for gradients, and for weights that owners broadcast.
  double gradient_bytes_sent = 0, weight_bytes_sent = 0;
};

// The plan of rank 0 when `ranks` ranks train. Scratch memory is counted for a GPU if config.device is cuda, else for a
// CPU.
Plan make_plan(const TrainConfig& config, int ranks);

// Throws Error if the `here` ranks on this machine, out of `ranks` in all, need more memory than the machine has free.
// Each rank is assumed to need as much as rank 0. The message names a setting to change. Without this check Linux might
// grant the memory, and the OOM killer might end a process later. GPU memory is not checked.
void check_memory(const TrainConfig& config, const Backend& backend, int ranks, int here);

// A text such as "1.2 GB at most: weights 0.3 GB, ...".
std::string memory_text(const Plan& plan);

// The number of checkpoints that a run has at its end if run.keep is not 0: the newest ones, those of run.keep_every
// and the best one. With run.checkpoint_seconds, which saves at steps that are not known, the most that there can be.
int64_t checkpoints_kept(const RunConfig& run);

}  // namespace rowan
