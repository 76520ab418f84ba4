// What a run shows before its first and after its last step. Everything goes to stderr.
#pragma once

#include <optional>

#include "train/trainer.h"

namespace rowan {

// Device, model, parameters and who updates them, data, memory by category. `peak`: FLOP/s of products, all ranks.
void print_start_page(const TrainConfig& config, const Trainer& trainer, const Backend& backend,
                      const Communicator& communicator, double peak);

// Final loss beside the entropy floor where it is known, the loss picture, files, a sample.
void print_end_page(const TrainConfig& config, const std::optional<LossMeter>& validation, const Trainer& trainer);

}  // namespace rowan
