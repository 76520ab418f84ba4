#include "train/layer_norms.h"

#include <fmt/format.h>

#include <cmath>

#include "comm/communicator.h"
#include "kernels/floats.h"

namespace rowan {
namespace {

std::vector<float> floats_of(Backend& backend, const Tensor& x) {
  std::vector<float> values(static_cast<size_t>(x.numel()));
  if (!values.empty()) download_floats(backend, values.data(), x);
  return values;
}

double square(float x) { return static_cast<double>(x) * static_cast<double>(x); }

}  // namespace

LayerNorms::LayerNorms(Backend& backend, const std::vector<Share>& shares, bool counts, int blocks)
    : backend_(backend), shares_(shares), counts_(counts), blocks_(blocks) {
  if (!counts_) return;
  for (const Share& share : shares_) before_.push_back(floats_of(backend_, share.value()));
}

std::vector<std::pair<std::string, double>> LayerNorms::after(Communicator& communicator) const {
  // Three sums of squares for each block: weights, gradients, updates.
  std::vector<double> sums(static_cast<size_t>(3 * blocks_));
  for (size_t i = 0; counts_ && i < shares_.size(); ++i) {
    double* const of_block = sums.data() + 3 * shares_[i].parameter->block;
    const std::vector<float> weights = floats_of(backend_, shares_[i].value());
    for (size_t j = 0; j < weights.size(); ++j) {
      of_block[0] += square(weights[j]);
      of_block[2] += square(weights[j] - before_[i][j]);
    }
    for (float g : floats_of(backend_, shares_[i].gradient)) of_block[1] += square(g);
  }
  sums = communicator.sum(sums);
  std::vector<std::pair<std::string, double>> norms;
  const char* const kinds[] = {"weights", "gradients", "updates"};
  for (int kind = 0; kind < 3; ++kind)
    for (int block = 0; block < blocks_; ++block) {
      const std::string layer = block == 0             ? "embeddings"
                                : block + 1 == blocks_ ? "head"
                                                       : fmt::format("layer_{}", block - 1);
      norms.emplace_back(fmt::format("norm/{}/{}", kinds[kind], layer),
                         std::sqrt(sums[static_cast<size_t>(3 * block + kind)]));
    }
  return norms;
}

}  // namespace rowan
