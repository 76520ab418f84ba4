// Norms by layer for one update, on request (run.norms_every): of the weights after the update, of the gradients before
// clipping, and of the update itself. They are computed on the host from copies, so that they do not affect training.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "optim/share.h"

namespace rowan {

class Backend;
class Communicator;

class LayerNorms {
 public:
  // Call it before the update. `shares` are the parts that this rank updates. `counts` is Sharding::shares_count():
  // false if another rank counts the same shares.
  LayerNorms(Backend& backend, const std::vector<Share>& shares, bool counts, int blocks);

  // Call it after the update, on all ranks. Returns the 2-norm over all parameters of each block, with names such as
  // "norm/weights/layer_0". The first block is "embeddings", the last "head".
  std::vector<std::pair<std::string, double>> after(Communicator& communicator) const;

 private:
  Backend& backend_;
  const std::vector<Share>& shares_;
  bool counts_;
  int blocks_;
  std::vector<std::vector<float>> before_;
};

}  // namespace rowan
