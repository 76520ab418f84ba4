// Tests that `rowan bench optimizer` counts and makes the steps of each kind.
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <string>
#include <vector>

#include "bench/bench_run.h"
#include "bench/step_kinds.h"
#include "kernels/arena.h"
#include "model/layout.h"

namespace rowan {
namespace {

// An optimizer of one matrix of 24 x 16, whose work is only counted.
struct Counted {
  explicit Counted(const std::string& recipe) {
    table.add({"a.weight", Role::matrix, {24, 16}});
    Share share;
    share.parameter = &table.parameters()[0];
    share.count = share.parameter->numel();
    share.weight = memory.take(DType::f32, {24, 16});
    share.gradient = memory.take(DType::f32, {24, 16});
    optimizer = std::make_unique<Optimizer>(*dry, recipe_config(recipe), std::vector<Share>{share});
  }

  std::unique_ptr<DryBackend> dry = make_dry_backend();
  Arena memory{*dry, Category::weights};
  ParameterTable table;
  std::unique_ptr<Optimizer> optimizer;
};

TEST(StepKinds, AreThoseOfARun) {
  for (const std::string recipe : {"soap", "kl-soap", "shampoo", "muon", "adamw"}) {
    Counted run(recipe);
    const int64_t period = run.optimizer->period();
    std::vector<double> expected, counted;
    for (int64_t step = 0; step < 3 * period; ++step) {
      run.dry->reset_work();
      run.optimizer->step(step, 1, 1);
      if (step >= 2 * period) expected.push_back(run.dry->work().bytes);
    }
    Counted bench(recipe);
    const std::vector<StepKind> kinds = step_kinds(*bench.dry, *bench.optimizer);
    EXPECT_EQ(kinds.size(), period == 1 ? 1 : 2) << recipe;
    for (const StepKind& kind : kinds) counted.insert(counted.end(), kind.count, kind.work.bytes);
    std::sort(expected.begin(), expected.end());
    std::sort(counted.begin(), counted.end());
    EXPECT_EQ(counted, expected) << recipe;
  }
}

TEST(StepKinds, AreMadeAgain) {
  for (const std::string recipe : {"soap", "shampoo", "mano"}) {
    Counted bench(recipe);
    for (const StepKind& kind : step_kinds(*bench.dry, *bench.optimizer))
      for (int64_t repeat = 0; repeat < 3; ++repeat) {
        bench.dry->reset_work();
        make_step(*bench.optimizer, kind, repeat);
        EXPECT_EQ(bench.dry->work().flops, kind.work.flops) << recipe << repeat;
        EXPECT_EQ(bench.dry->work().bytes, kind.work.bytes) << recipe << repeat;
        EXPECT_EQ(bench.optimizer->updates(), kind.first + repeat * bench.optimizer->period()) << recipe;
      }
  }
}

}  // namespace
}  // namespace rowan
