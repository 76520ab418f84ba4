// The pages that a run shows before its first and after its last step, as notes.
#pragma once

#include <optional>

#include "train/progress.h"
#include "train/trainer.h"

namespace rowan {

// Prints device, model, parameters and who updates them, data, and memory by category. `peak` is FLOP/s of products
// over all ranks.
void print_start_page(const TrainConfig& config, const Trainer& trainer, const Backend& backend,
                      const Communicator& communicator, double peak, Progress& progress);

// Prints the final loss (with the entropy floor if known), the loss chart, files, and a sample.
void print_end_page(const TrainConfig& config, const std::optional<double>& validation, const Trainer& trainer,
                    Progress& progress);

}  // namespace rowan
