#include "evaluate/evaluate.h"

#include <numeric>

#include "base/mapped_guard.h"
#include "kernels/backend.h"

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

std::vector<double> row_losses(Backend& backend, Model& model, const ValidationSet& set, int rank, int ranks,
                               const std::function<void()>& between,
                               const std::function<bool(const std::function<void()>&)>& read) {
  const int64_t rows = model.options().batch, seq = model.options().seq;
  BatchEvaluator losses_of(backend, model);
  std::vector<int32_t> inputs(static_cast<size_t>(rows * seq)), targets(inputs.size());
  std::vector<float> losses(inputs.size());
  std::vector<double> sums(static_cast<size_t>(set.rows()));
  // Every rank makes the same number of passes, because a pass over sharded weights involves all ranks.
  for (int64_t round = 0; round < set.rows(); round += rows * ranks) {
    between();
    const int64_t first = round + rank * rows;
    const bool whole = read([&] {
      set.fill(first, rows, inputs.data(), targets.data());
      check_mapped_files();
    });
    if (!whole) {
      std::fill(inputs.begin(), inputs.end(), 0);
      std::fill(targets.begin(), targets.end(), -100);
    }
    losses_of(inputs.data(), targets.data(), losses.data());
    for (int64_t i = 0; i < rows && first + i < set.rows(); ++i) {
      const auto begin = losses.begin() + i * seq;
      sums[static_cast<size_t>(first + i)] = std::accumulate(begin, begin + seq, 0.0);
    }
  }
  return sums;
}

}  // namespace rowan
