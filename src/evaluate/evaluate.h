// Losses of a model outside training.
#pragma once

#include "evaluate/validation.h"
#include "model/model.h"

namespace rowan {

// Losses of one batch of rows given in host memory.
class BatchEvaluator {
 public:
  BatchEvaluator(Backend& backend, Model& model);

  // losses[batch * T] in nats of targets[batch * T], 0 where the target is -100.
  void operator()(const int32_t* inputs, const int32_t* targets, float* losses);

 private:
  Backend& backend_;
  Model& model_;
  Arena memory_;
  Tensor inputs_, targets_;  // i32[batch * T]
};

// Over all rows of the set, in batches of the model.
LossMeter evaluate(Backend& backend, Model& model, const ValidationSet& data);

}  // namespace rowan
