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
// batch.
std::vector<double> row_losses(
    Backend& backend, Model& model, const ValidationSet& set, int rank = 0, int ranks = 1,
    const std::function<void()>& between = [] {});

}  // namespace rowan
