// The loss of a model on validation data.
#pragma once

#include "data/dataset.h"
#include "model/model.h"

namespace rowan {

struct LossSum {
  double nats = 0;
  int64_t targets = 0;

  double mean() const { return targets ? nats / static_cast<double>(targets) : 0; }
};

// Sum over the first rows of `data`, as many as hold `tokens` tokens (all when there are fewer). Of several ranks each
// sums its own micro-batches; add their results. The model's weights are used, its gradients are not touched.
LossSum evaluate(Backend& backend, Model& model, const Dataset& data, int64_t tokens, int rank = 0, int ranks = 1);

}  // namespace rowan
