// Computes the losses of a model outside training.
#pragma once

#include <functional>
#include <vector>

#include "evaluate/validation.h"
#include "model/model.h"

namespace rowan {

// Computes the losses of a batch whose ids are in host memory.
class BatchEvaluator {
 public:
  BatchEvaluator(Backend& backend, Model& model);

  // Writes losses[batch * T], in nats, of targets[batch * T]; 0 where the target is -100. T is the sequence length.
  void operator()(const int32_t* inputs, const int32_t* targets, float* losses);

 private:
  Backend& backend_;
  Model& model_;
  Arena memory_;
  Tensor inputs_, targets_;  // i32[batch * T]
};

// Returns the sum of the losses of each row of the set. Ranks take batches in turn. A rank returns 0 for the rows of
// other ranks, so adding the results of all ranks gives the sums of the whole set. `between` is called before every
// batch. `read` calls the function that reads a batch from the shards. It may catch the function's Error and return
// false; the batch then counts as padding.
std::vector<double> row_losses(
    Backend& backend, Model& model, const ValidationSet& set, int rank = 0, int ranks = 1,
    const std::function<void()>& between = [] {},
    const std::function<bool(const std::function<void()>&)>& read =
        [](const std::function<void()>& batch) {
          batch();
          return true;
        });

}  // namespace rowan
