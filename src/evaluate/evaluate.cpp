#include "evaluate/evaluate.h"

#include <algorithm>
#include <numeric>

namespace rowan {

BatchEvaluator::BatchEvaluator(Backend& backend, Model& model)
    : backend_(backend), model_(model), memory_(backend, Category::data) {
  const int64_t n = model.options().batch * model.options().seq;
  inputs_ = memory_.take(DType::i32, {n});
  targets_ = memory_.take(DType::i32, {n});
}

void BatchEvaluator::operator()(const int32_t* inputs, const int32_t* targets, float* losses) {
  backend_.upload(inputs_, inputs);
  backend_.upload(targets_, targets);
  backend_.download(losses, model_.loss(inputs_, targets_));
}

LossMeter evaluate(Backend& backend, Model& model, const ValidationSet& data) {
  const int64_t batch = model.options().batch, n = batch * model.options().seq;
  BatchEvaluator losses_of(backend, model);
  std::vector<int32_t> inputs(static_cast<size_t>(n)), targets(inputs.size());
  std::vector<float> losses(inputs.size());
  LossMeter meter;
  for (int64_t first = 0; first < data.rows(); first += batch) {
    data.fill(first, batch, inputs.data(), targets.data());
    losses_of(inputs.data(), targets.data(), losses.data());
    meter.add(std::accumulate(losses.begin(), losses.end(), 0.0),
              n - std::count(targets.begin(), targets.end(), ignored_target));
  }
  return meter;
}

}  // namespace rowan
