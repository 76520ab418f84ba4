// Norms by layer around one update, on request (run.norms_every): of the weights after it, of the gradients before
// clipping, and of what the update added. Computed on the host from copies, so that looking changes nothing.
#pragma once

#include <string>
#include <utility>
#include <vector>

#include "comm/communicator.h"
#include "kernels/backend.h"
#include "optim/share.h"

namespace rowan {

class LayerNorms {
 public:
  // Before the update. `shares` are what this rank updates; `counts`: false on ranks that hold what another counts.
  LayerNorms(Backend& backend, const std::vector<Share>& shares, bool counts, int blocks);

  // After it; all ranks call it. "norm/weights/layer_0", ... with "embeddings" and "head" for the ends: of each layer
  // the 2-norm of all its parameters.
  std::vector<std::pair<std::string, double>> after(Communicator& communicator) const;

 private:
  Backend& backend_;
  const std::vector<Share>& shares_;
  bool counts_;
  int blocks_;
  std::vector<std::vector<float>> before_;
};

}  // namespace rowan
