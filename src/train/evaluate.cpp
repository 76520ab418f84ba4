#include "train/evaluate.h"

#include <algorithm>

namespace rowan {

LossSum evaluate(Backend& backend, Model& model, const Dataset& data, int64_t tokens, int rank, int ranks) {
  const int64_t batch = model.options().batch, seq = model.options().seq, n = batch * seq;
  const int64_t rows = std::min(data.rows(), tokens / seq + (tokens % seq != 0));
  Arena memory(backend, Category::data);
  Tensor inputs = memory.take(DType::i32, {n}), targets = memory.take(DType::i32, {n});
  std::vector<int32_t> host_inputs(static_cast<size_t>(n)), host_targets(static_cast<size_t>(n));
  std::vector<float> losses(static_cast<size_t>(n));
  LossSum result;
  for (int64_t first = rank * batch; first < rows; first += ranks * batch) {
    std::fill(host_inputs.begin(), host_inputs.end(), 0);
    std::fill(host_targets.begin(), host_targets.end(), ignored_target);
    for (int64_t row = first; row < std::min(first + batch, rows); ++row)
      result.targets += data.read(row, &host_inputs[(row - first) * seq], &host_targets[(row - first) * seq]);
    backend.upload(inputs, host_inputs.data());
    backend.upload(targets, host_targets.data());
    backend.download(losses.data(), model.loss(inputs, targets));
    for (float loss : losses) result.nats += loss;
  }
  return result;
}

}  // namespace rowan
