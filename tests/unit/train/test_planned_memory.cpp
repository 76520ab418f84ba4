// Compares the memory that `rowan plan` predicts with the memory that training with each recipe takes on this machine.
// Also tests the scratch memory that the plan counts for two operations.
#include <gtest/gtest.h>
#include <malloc.h>
#include <sys/wait.h>
#include <unistd.h>

#include <fstream>
#include <functional>

#include "comm/transports.h"
#include "kernels/dry/dry_backend.h"
#include "optim/recipe.h"
#include "optim/recipes.h"
#include "small_run.h"
#include "temporary_folder.h"
#include "train/plan.h"
#include "train/trainer.h"

namespace rowan {
namespace {

double status_bytes(const std::string& key) {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;)
    if (word == key + ":") {
      double kilobytes = 0;
      status >> kilobytes;
      return 1024 * kilobytes;
    }
  return 0;
}

// Returns the peak memory in bytes that `work` adds to a process, or a negative number if it fails. `warm` runs first
// and loads the code.
double peak_of(const std::function<void()>& warm, const std::function<void()>& work) {
  int ends[2];
  if (pipe(ends) != 0) return -1;
  const pid_t child = fork();
  if (child == 0) {
    double added = -1;
    try {
      warm();
      malloc_trim(0);
      std::ofstream("/proc/self/clear_refs") << 5;  // resets the peak, VmHWM
      const double before = status_bytes("VmRSS");
      work();
      added = status_bytes("VmHWM") - before;
    } catch (const std::exception&) {
    }
    _exit(write(ends[1], &added, sizeof added) == sizeof added ? 0 : 1);
  }
  close(ends[1]);
  double added = -1;
  const bool told = child > 0 && read(ends[0], &added, sizeof added) == sizeof added;
  close(ends[0]);
  if (child > 0) waitpid(child, nullptr, 0);
  return told ? added : -1;
}

class PlannedMemory : public testing::TestWithParam<std::string> {};

TEST_P(PlannedMemory, IsThatOfARun) {
#ifdef ROWAN_SANITIZED
  GTEST_SKIP() << "AddressSanitizer's memory would count as the run's";
#endif
  const TemporaryFolder folder;
  write_small_shard(folder / "train.bin", 500);
  auto config_of_size = [&](int64_t hidden, int64_t layers) {
    const Json model = {{"model_type", "llama"},       {"hidden_size", hidden}, {"intermediate_size", hidden},
                        {"num_hidden_layers", layers}, {"vocab_size", 512},     {"num_attention_heads", 4}};
    Json optimizer = {{"name", GetParam()}};
    const Recipe recipe = named_recipe(GetParam());
    if (recipe.precondition != Precondition::none || recipe.shampoo) optimizer["precondition_frequency"] = 2;
    if (recipe.shampoo) optimizer["shampoo_start"] = 2;
    const Json config = {{"model", model},
                         {"data", {{"train", folder / "train.bin"}}},
                         {"batch", {{"sequences", 2}, {"sequence_length", 16}}},
                         {"optimizer", optimizer},
                         {"precision", "fp32"},
                         {"run", {{"dir", folder / "run"}, {"steps", 2}}}};
    return load_config(folder.write("config.json", config.dump()), {});
  };
  auto train = [](const TrainConfig& config) {
    auto backend = make_cpu_backend(1);
    auto alone = make_single_communicator();
    Trainer trainer(config, *backend, *alone);
    while (trainer.steps_done() < 2) trainer.step();
  };
  const TrainConfig small = config_of_size(16, 1), config = config_of_size(128, 12);
  const double measured = peak_of([&] { train(small); }, [&] { train(config); });
  ASSERT_GT(measured, 0);
  EXPECT_NEAR(static_cast<double>(make_plan(config, 1).total_bytes) / measured, 1, 0.1);
}

std::string name_of_recipe(const testing::TestParamInfo<std::string>& info) {
  std::string name = info.param;
  for (char& c : name)
    if (c == '-') c = '_';
  return name;
}

INSTANTIATE_TEST_SUITE_P(Some, PlannedMemory,
                         testing::Values("adamw", "muon", "rmnp", "muown", "ademamix", "mars-m", "nanochat",
                                         "soap-muon"),
                         name_of_recipe);
INSTANTIATE_TEST_SUITE_P(Long, PlannedMemory, testing::ValuesIn(recipe_names()), name_of_recipe);

// Each thread processes one matrix at a time, in float64, and needs two matrices of its size: a copy, which becomes the
// result, and the Householder reflections.
TEST(EigenScratch, IsInThePlan) {
  auto dry = make_dry_backend();
  Tensor a(dry->allocate(4 * 64 * 64, Category::workspace), DType::f32, {64, 64}),
      values(dry->allocate(4 * 64, Category::workspace), DType::f32, {64});
  const size_t before = dry->peak_bytes();
  dry->eigenvectors({a, a}, {values, values}, {a, a});
  EXPECT_EQ(dry->peak_bytes() - before, size_t{2} * 8 * 64 * 64);
  dry->orthonormalize({a, a});
  EXPECT_EQ(dry->bytes() - before, size_t{2} * 8 * 64 * 64);
}

}  // namespace
}  // namespace rowan
