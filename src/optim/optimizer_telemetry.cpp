// The metrics of a step: which matrices are measured, and how the metrics of blocks are averaged for their parameter.
#include <cmath>
#include <limits>

#include "base/threads.h"
#include "kernels/thread_pool.h"
#include "optim/optimizer.h"
#include "optim/recipe.h"

namespace rowan {
namespace {

// Mean of the finite values; infinite if there are none.
double mean_of(const std::vector<double>& values) {
  double sum = 0;
  int64_t count = 0;
  for (double value : values)
    if (std::isfinite(value)) sum += value, ++count;
  return count ? sum / static_cast<double>(count) : std::numeric_limits<double>::infinity();
}

}  // namespace

// Whether telemetry covers slot i of a batch: a whole matrix, or a block of a matrix, that AdamW does not update.
bool Optimizer::is_watched(const Batch& batch, size_t i) {
  return !batch.recipe->adamw && batch.parameters[i]->shape.size() == 2 &&
         (batch.recipe->blocks.by != Blocks::By::none || batch.slots[i].weight.numel() == batch.parameters[i]->numel());
}

bool Optimizer::has_telemetry() const {
  for (const Batch& batch : batches_)
    for (size_t i = 0; i < batch.parameters.size(); ++i)
      if (is_watched(batch, i)) return true;
  return false;
}

std::vector<Optimizer::Watched> Optimizer::watch() const {
  std::vector<Watched> watched;
  for (const Batch& batch : batches_) {
    columns_.split(backend_, batch.wholes, batch.cols);
    for (size_t i = 0; i < batch.parameters.size(); ++i)
      if (is_watched(batch, i)) watched.push_back({&batch, i, host(batch.slots[i].value())});
  }
  return watched;
}

void Optimizer::measure(const std::vector<Watched>& watched, const Moment& now) {
  std::map<std::string, std::vector<double>> of_parameters, of_all;  // one value for each matrix or block
  const Batch* split = nullptr;
  ThreadPool threads(default_threads());
  for (const Watched& one : watched) {
    if (one.batch != split) columns_.split(backend_, one.batch->wholes, one.batch->cols);
    split = one.batch;
    const OptimizerSlot& slot = one.batch->slots[one.slot];
    const Parameter& parameter = *one.batch->parameters[one.slot];
    const Recipe& recipe = *one.batch->current;
    const auto [rows, cols] = shape_of(*one.batch, one.slot);
    MatrixView view{rows, cols, one.before, host(slot.value()), host(slot.gradient), host(slot.first), {}};
    for (float& g : view.gradient) g *= now.grad_scale;
    if (recipe.scales_rate()) view.second = host(one.batch->states.at("second_moment")[one.slot]);
    for (const Metric& metric : matrix_metrics(recipe, now.t, view, threads)) {
      of_parameters[parameter.name + "/" + metric.name].push_back(metric.value);
      of_all["mean/" + metric.name].push_back(metric.value);
    }
  }
  for (const auto& [name, values] : of_parameters)
    metrics_.push_back({name, values.size() == 1 ? values[0] : mean_of(values)});
  for (const auto& [name, values] : of_all)
    if (const double mean = mean_of(values); std::isfinite(mean)) metrics_.push_back({name, mean});
}

}  // namespace rowan
