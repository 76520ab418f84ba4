// The norms of each layer's weights after an update, of its gradients before clipping, and of the update itself
// (run.norms_every). They are computed on the host from copies, so they do not affect training.
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
  // Must be constructed before the update. `shares` are the parts of parameters that this rank updates. `counts` is
  // Sharding::shares_count(): false if another rank already adds the same shares to the sums.
  LayerNorms(Backend& backend, const std::vector<Share>& shares, bool counts, int blocks);

  // Must be called after the update, on all ranks. Returns three 2-norms for each block: of all its weights, of all its
  // gradients and of all its updates. A name is, for example, "norm/weights/layer_0". The first block is "embeddings",
  // the last "head".
  std::vector<std::pair<std::string, double>> after(Communicator& communicator) const;

 private:
  Backend& backend_;
  const std::vector<Share>& shares_;
  bool counts_;
  int blocks_;
  std::vector<std::vector<float>> before_;
};

}  // namespace rowan
