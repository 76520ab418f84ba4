// The pages that a run shows before its first and after its last step, as notes.
#pragma once

#include <optional>

#include "train/progress.h"
#include "train/trainer.h"

namespace rowan {

// Device, model, parameters and who updates them, data, memory by category. `peak`: FLOP/s of products, all ranks.
void print_start_page(const TrainConfig& config, const Trainer& trainer, const Backend& backend,
                      const Communicator& communicator, double peak, Progress& progress);

// Final loss beside the entropy floor where it is known, the loss picture, files, a sample.
void print_end_page(const TrainConfig& config, const std::optional<double>& validation, const Trainer& trainer,
                    Progress& progress);

}  // namespace rowan
