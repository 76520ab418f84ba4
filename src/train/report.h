// The page that a start shows before its first step, and the page at the end of a run.
#pragma once

#include <functional>
#include <optional>

#include "train/progress.h"
#include "train/trainer.h"

namespace rowan {

// Prints facts of the run, such as device, model, optimizer groups, data and memory. `peak` is FLOP/s of matrix
// products on all ranks together.
void print_start_page(const TrainConfig& config, const Trainer& trainer, const Backend& backend,
                      const Communicator& communicator, double peak, Progress& progress);

// Writes loss.svg. Prints the loss chart and the number of steps and tokens. Also prints the validation loss after the
// last step, the entropy floor and a sample, if there are any. Ends the sample when `wants_to_stop` returns true.
void print_end_page(const TrainConfig& config, const std::optional<double>& validation, const Trainer& trainer,
                    Progress& progress, const std::function<bool()>& wants_to_stop);

}  // namespace rowan
