// Counts kernels, matrix products, memsets and copies of training steps, also of real models, whose work is only
// counted. Tests that `rowan bench step` replays graphs, and that its measured products neither upload nor allocate.
#include <gtest/gtest.h>

#include <ostream>

#include "bench/model_products.h"
#include "emulation/runtime.h"
#include "emulation/suite/runs.h"
#include "kernels/ceiling.h"
#include "optim/optimizer.h"
#include "paths.h"
#include "train/model_options.h"
#include "train/update_costs.h"

namespace rowan {
namespace {

struct Launches {
  int64_t kernels, products, memsets, copies;

  bool operator==(const Launches&) const = default;
};

std::ostream& operator<<(std::ostream& out, const Launches& l) {
  return out << l.kernels << " kernels, " << l.products << " products, " << l.memsets << " memsets, " << l.copies
             << " copies";
}

Launches launches_of(const std::function<void()>& work) {
  const emulation::RuntimeCounts before = emulation::counts();
  work();
  const emulation::RuntimeCounts after = emulation::counts();
  auto copies = [](const emulation::RuntimeCounts& c) { return c.uploads + c.downloads + c.copies; };
  return {after.kernels - before.kernels, after.products - before.products, after.memsets - before.memsets,
          copies(after) - copies(before)};
}

struct OnlyCounted {
  OnlyCounted() { emulation::only_count(true); }
  ~OnlyCounted() { emulation::only_count(false); }
};

// A bf16 run in one process, with one micro-step per step.
TrainConfig one_micro_step(const Json& model, int64_t layers, int64_t sequences, int64_t length) {
  Json own = model;
  own[model.contains("n_layer") ? "n_layer" : "num_hidden_layers"] = layers;
  const Json config = {{"model", own},
                       {"data", {{"train", "train.bin"}}},
                       {"batch", {{"sequences", sequences}, {"sequence_length", length}}},
                       {"optimizer", {{"name", "adamw"}}},
                       {"precision", "bf16"},
                       {"run", {{"dir", "run"}, {"steps", 1}}}};
  const TemporaryFolder folder;
  return load_config(folder.write("config.json", config.dump()), {});
}

// Launches of a forward and a backward, and of a whole step.
std::pair<Launches, Launches> counted(const TrainConfig& config) {
  const OnlyCounted scope;
  auto backend = make_cuda_backend(0);
  auto alone = make_single_communicator();
  Model model(*backend, config.model, model_options(config, 1));
  Sharding sharding(*alone, *backend, model, update_costs(config.optimizer, model.parameters(), config.precision),
                    config.shard, config.reduce, true);
  Optimizer optimizer(*backend, config.optimizer, sharding.shares(), 1);
  Arena data(*backend, Category::data);
  const int64_t n = config.batch.sequences * config.batch.sequence_length;
  Tensor tokens = data.take(DType::i32, {n}), targets = data.take(DType::i32, {n}), loss = data.take(DType::f32, {1});
  const std::vector<int32_t> ids(static_cast<size_t>(n));
  Launches pass{};
  auto step = [&] {
    sharding.begin_step();
    backend->upload(tokens, ids.data());
    backend->upload(targets, ids.data());
    sharding.begin_micro_step(true);
    pass = launches_of([&] { backend->sum(loss, model.loss_and_gradients(tokens, targets, 1, false), false); });
    sharding.finish_gradients();
    sharding.sum_over_ranks(loss, {});
    optimizer.step(1, 1, 1);
    sharding.weights_changed();
  };
  step();
  const Launches whole = launches_of(step);
  return {pass, whole};
}

Launches per_layer(const Json& model, int64_t layers, int64_t sequences, int64_t length) {
  const Launches more = counted(one_micro_step(model, layers, sequences, length)).first,
                 less = counted(one_micro_step(model, layers - 1, sequences, length)).first;
  return {more.kernels - less.kernels, more.products - less.products, more.memsets - less.memsets,
          more.copies - less.copies};
}

Json real_model(const std::string& name) {
  return Json::parse(read_file(source_path("configs/models/" + name + ".json")));
}

TEST(Launches, OfSmallModels) {
  EXPECT_EQ(per_layer(small_llama(), 2, 4, 16), (Launches{14, 12, 2, 0}));
  EXPECT_EQ(per_layer(small_gpt2(), 2, 4, 16), (Launches{9, 12, 2, 0}));
}

// BENCHMARKS.md has these numbers.
TEST(Launches, OfRealModels) {
  const Json gpt2 = real_model("gpt2_124m"), llama = real_model("llama_130m");
  EXPECT_EQ(per_layer(gpt2, 12, 64, 1024), (Launches{11, 12, 4, 0}));
  EXPECT_EQ(per_layer(llama, 12, 512, 256), (Launches{12, 12, 2, 0}));
  EXPECT_EQ(counted(one_micro_step(gpt2, 12, 64, 1024)).second, (Launches{163, 165, 51, 4}));
  EXPECT_EQ(counted(one_micro_step(llama, 12, 512, 256)).second, (Launches{172, 168, 26, 4}));
}

TEST(Bench, ReplaysStepsBetweenItsProducts) {
  const TrainConfig config = config_of(small_gpt2(), "adamw");
  auto backend = recording_backend();
  auto alone = make_single_communicator();
  Trainer trainer(config, *backend, *alone);
  trainer.step();
  ModelProducts products(*backend, config.model, trainer.model().options());
  int64_t replays = 0;
  for (int turn = 0; turn < 4; ++turn) {
    const emulation::RuntimeCounts begin = emulation::counts();
    trainer.step();
    const emulation::RuntimeCounts before = emulation::counts();
    EXPECT_GT(products.measure(), 0);
    const emulation::RuntimeCounts after = emulation::counts();
    EXPECT_EQ(after.uploads, before.uploads);
    EXPECT_EQ(after.allocations, before.allocations);
    replays = before.replays - begin.replays;
  }
  EXPECT_EQ(replays, 2);  // a step has two micro-batches
}

TEST(Bench, UploadsRandomValuesOnce) {
  auto backend = make_cuda_backend(0);
  Arena arena(*backend, Category::workspace);
  constexpr int64_t period = 1 << 16, count = 5 * period + 3;
  Tensor x = arena.take(DType::f32, {count});
  const int64_t before = emulation::counts().uploads;
  fill_random(*backend, x);
  EXPECT_EQ(emulation::counts().uploads - before, 1);
  std::vector<float> values(count);
  backend->download(values.data(), x);
  EXPECT_NE(values[0], values[1]);
  for (int64_t i = period; i < count; ++i)
    ASSERT_EQ(values[static_cast<size_t>(i)], values[static_cast<size_t>(i - period)]);
}

}  // namespace
}  // namespace rowan
