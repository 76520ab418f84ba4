#include "train/plan.h"

#include "kernels/dry/dry_backend.h"
#include "train/trainer.h"

namespace rowan {

Plan make_plan(const TrainConfig& config, int ranks) {
  auto dry = make_dry_backend();
  const bool masters = config.precision == TrainPrecision::bf16;
  ModelOptions options = model_options(config, ranks);
  Model model(*dry, config.model, options);
  auto alone = make_single_communicator();
  Sharding sharding(*alone, *dry, model, update_costs(config.optimizer, model.parameters(), masters), config.shard,
                    masters);
  Optimizer optimizer(*dry, config.optimizer, sharding.shares(), config.run.seed);
  Arena data(*dry, Category::data);
  const int64_t n = options.batch * options.seq;
  Tensor tokens = data.take(DType::i32, {n}), targets = data.take(DType::i32, {n});

  Plan plan;
  model.loss_and_gradients(tokens, targets, 1);
  const double micro_steps = static_cast<double>(config.batch.sequences / (options.batch * ranks));
  plan.step_flops = dry->work().flops * micro_steps;
  plan.step_flops_full = dry->work().flops_full * micro_steps;
  dry->reset_work();
  optimizer.step(0, 1, 1);
  plan.optimizer_flops = dry->work().flops;
  plan.optimizer_bytes = dry->work().bytes;
  for (int c = 0; c < category_count; ++c) plan.bytes[c] = dry->peak_bytes(static_cast<Category>(c));
  plan.total_bytes = dry->peak_bytes();
  return plan;
}

}  // namespace rowan
