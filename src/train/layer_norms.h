// Norms by layer around one update, on request (run.norms_every): of the weights after it, of the gradients before
// clipping, and of the update itself. They are computed on the host from copies, so that observing changes nothing.
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
  // Call it before the update. `shares` are the parts that this rank updates; `counts` is false on ranks that hold what
  // another rank counts.
  LayerNorms(Backend& backend, const std::vector<Share>& shares, bool counts, int blocks);

  // Call it after the update, on all ranks. Returns "norm/weights/layer_0", ..., with "embeddings" and "head" for the
  // ends: the 2-norm over all parameters of each layer.
  std::vector<std::pair<std::string, double>> after(Communicator& communicator) const;

 private:
  Backend& backend_;
  const std::vector<Share>& shares_;
  bool counts_;
  int blocks_;
  std::vector<std::vector<float>> before_;
};

}  // namespace rowan
