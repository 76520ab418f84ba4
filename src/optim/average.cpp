#include "optim/average.h"

#include "kernels/backend.h"

namespace rowan {

Averages::Averages(Backend& backend, const AverageConfig& config, int64_t steps, const std::vector<Share>& shares)
    : backend_(backend),
      config_(config),
      steps_(steps),
      shares_(shares),
      memory_(backend, Category::masters),
      held_memory_(backend, Category::weights) {
  if (config.ema > 0) all_.push_back({"ema", 0, 0, {}});
  if (config.tail > 0) all_.push_back({"tail", 0, 0, {}});
  for (Average& average : all_)
    for (const Share& share : shares) average.values.push_back(memory_.take(DType::f32, {share.count}));
  for (const Share& share : shares)
    held_.push_back(all_.empty() || !share.master.empty() ? Tensor()
                                                          : held_memory_.take(share.weight.dtype, {share.count}));
}

int64_t Averages::first_step(const Average& average) const {
  return 1 + (average.name == "tail" ? steps_ - config_.tail : config_.ema_start);
}

void Averages::take(Average& average, int64_t step, double weight) {
  if (++average.count == 1) average.first = step;
  for (size_t i = 0; i < shares_.size(); ++i) {
    const Share& share = shares_[i];
    const Tensor& value = share.value();
    if (average.count == 1)
      backend_.copy(average.values[i], value);
    else
      backend_.lerp(average.values[i], value.view({share.count}), static_cast<float>(weight));
  }
}

void Averages::update(int64_t step) {
  for (Average& average : all_) {
    if (step < first_step(average))
      average.count = 0;
    else
      take(average, step, average.name == "tail" ? 1 / static_cast<double>(average.count + 1) : 1 - config_.ema);
  }
}

void Averages::show(const Average& average) {
  for (size_t i = 0; i < shares_.size(); ++i) {
    if (!held_[i].empty()) backend_.copy(held_[i], shares_[i].weight);
    backend_.copy(shares_[i].weight, average.values[i]);
  }
}

void Averages::hide() {
  for (size_t i = 0; i < shares_.size(); ++i)
    backend_.copy(shares_[i].weight, held_[i].empty() ? shares_[i].master : held_[i]);
}

}  // namespace rowan
