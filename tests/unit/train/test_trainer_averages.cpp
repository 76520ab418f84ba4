// Tests that a trainer restores only averages that its config allows, and that it puts the weights back if the
// evaluation of an average fails.
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <map>

#include "base/mapped_guard.h"
#include "comm/transports.h"
#include "kernels/backend.h"
#include "small_run.h"
#include "temporary_folder.h"
#include "train/trainer.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

TrainConfig config_with(const TemporaryFolder& folder, int steps, const Json& average) {
  const Json config = {{"model", small_llama()},
                       {"data", {{"train", folder / "train.bin"}, {"validation", folder / "validation.bin"}}},
                       {"batch", {{"sequences", 2}, {"sequence_length", 16}}},
                       {"optimizer", {{"name", "adamw"}, {"lr", 0.01}}},
                       {"average", average},
                       {"precision", "fp32"},
                       {"run", {{"dir", folder / "run"}, {"steps", steps}, {"eval_tokens", 0}}}};
  return load_config(folder.write("config.json", config.dump()), {});
}

std::vector<float> joined(Backend& backend, const std::vector<Tensor>& tensors) {
  std::vector<float> all;
  for (const Tensor& tensor : tensors) {
    std::vector<float> values(static_cast<size_t>(tensor.numel()));
    backend.download(values.data(), tensor);
    all.insert(all.end(), values.begin(), values.end());
  }
  return all;
}

std::vector<float> shared_weights(Backend& backend, const Trainer& trainer) {
  std::vector<Tensor> tensors;
  for (const Share& share : trainer.sharding().shares()) tensors.push_back(share.weight);
  return joined(backend, tensors);
}

std::map<std::string, int64_t> counts_of(const Trainer& trainer) {
  std::map<std::string, int64_t> counts;
  for (const Averages::Average& average : trainer.averages().all()) counts[average.name] = average.count;
  return counts;
}

// The checkpoint is of step 6. Its EMA has the weights of steps 1 to 6, its tail those of steps 4 to 6.
TEST(TrainerAverages, AnAverageWithTooEarlyStepsBeginsAnew) {
  const TemporaryFolder folder;
  for (const char* name : {"train.bin", "validation.bin"}) write_small_shard(folder / name, 500);
  auto backend = make_cpu_backend(1);
  auto alone = make_single_communicator();
  const TrainConfig config = config_with(folder, 6, {{"ema", 0.5}, {"tail", 3}});
  Trainer whole(config, *backend, *alone);
  while (whole.steps_done() < 6) whole.step();
  ASSERT_EQ(whole.save(Json::object(), {}, [] {}), "") << "ruined";
  const fs::path checkpoint = checkpoint_path(fs::path(config.run.dir) / "checkpoints", 6);
  const Json state = Json::parse(read_file(checkpoint / "state.json"));
  EXPECT_EQ(state["average_first_steps"], (Json{{"ema", 1}, {"tail", 4}}));
  Json older = state, skipping = state;
  older.erase("average_first_steps");
  skipping["averages"] = {{"ema", 3}, {"tail", 1}};  // the updates of other steps were skipped

  struct Case {
    int steps;
    Json average;
    int64_t ema, tail;  // expected numbers of updates
  };
  for (const Case& now : {Case{6, {{"ema", 0.5}, {"tail", 3}}, 6, 3}, Case{8, {{"ema", 0.5}, {"tail", 3}}, 6, 0},
                          Case{6, {{"ema", 0.5}, {"tail", 2}}, 6, 0}, Case{8, {{"ema", 0.5}, {"tail", 6}}, 6, 3},
                          Case{6, {{"ema", 0.5}, {"ema_start", 1}, {"tail", 3}}, 0, 3}}) {
    SCOPED_TRACE(now.average.dump() + " " + std::to_string(now.steps));
    const TrainConfig changed = config_with(folder, now.steps, now.average);
    for (const Json* written : std::initializer_list<const Json*>{&state, &older, &skipping}) {
      write_file_atomically(checkpoint / "state.json", written->dump());
      Trainer continued(changed, *backend, *alone);
      continued.restore(checkpoint);
      const int64_t ema = (*written)["averages"]["ema"], tail = (*written)["averages"]["tail"];
      EXPECT_EQ(counts_of(continued)["ema"], now.ema ? ema : 0) << *written;
      EXPECT_EQ(counts_of(continued)["tail"], now.tail ? tail : 0) << *written;
    }
  }

  write_file_atomically(checkpoint / "state.json", state.dump());
  const TrainConfig longer = config_with(folder, 8, {{"tail", 3}});
  Trainer continued(longer, *backend, *alone);
  continued.restore(checkpoint);
  continued.step();
  const std::vector<float> seventh = shared_weights(*backend, continued);
  continued.step();
  const std::vector<float> eighth = shared_weights(*backend, continued),
                           tail = joined(*backend, continued.averages().all()[0].values);
  for (size_t i = 0; i < tail.size(); ++i) ASSERT_NEAR(tail[i], (double{seventh[i]} + double{eighth[i]}) / 2, 1e-6);
}

// Runs in a separate process, because a process never resets its flag for a shrunk file.
TEST(TrainerAverages, AFileThatShrinksDuringTheirEvaluationDoesNotChangeTheWeights) {
  const TemporaryFolder folder;
  write_small_shard(folder / "train.bin", 500);
  write_small_shard(folder / "validation.bin", 20'001);
  const pid_t child = ::fork();
  if (child == 0) {
    auto backend = make_cpu_backend(1);
    auto alone = make_single_communicator();
    const TrainConfig config = config_with(folder, 4, {{"ema", 0.5}, {"tail", 2}});
    Trainer trainer(config, *backend, *alone);
    while (trainer.steps_done() < 4) trainer.step();
    const std::vector<float> before = shared_weights(*backend, trainer);
    trainer.validate();
    trainer.listen([&] {
      fs::resize_file(folder / "validation.bin", 4096);
      return Wishes();
    });
    try {
      trainer.validate_averages();
    } catch (const DataError&) {
      ::_exit(shared_weights(*backend, trainer) == before ? 7 : 2);
    }
    ::_exit(1);
  }
  int status = 0;
  ::waitpid(child, &status, 0);
  EXPECT_EQ(WEXITSTATUS(status), 7);
}

}  // namespace
}  // namespace rowan
