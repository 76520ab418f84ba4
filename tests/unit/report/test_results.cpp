#include <fmt/format.h>
#include <gtest/gtest.h>

#include "report/results.h"
#include "temporary_folder.h"

namespace rowan {
namespace {

// A run of fewer than 10 steps has the loss of its last step.
TEST(Results, TrainLossIsTheMeanOfTheLastTenth) {
  for (const auto& [steps, expected] : {std::pair{1, 1.0}, {9, 9.0}, {10, 10.0}, {20, 19.5}}) {
    TemporaryFolder folder;
    folder.write("config.json", fmt::format(R"({{"run": {{"steps": {}}}}})", steps));
    std::string rows;
    for (int step = 1; step <= steps; ++step) rows += fmt::format("{{\"step\": {0}, \"loss\": {0}}}\n", step);
    folder.write("metrics.jsonl", rows);
    EXPECT_EQ(read_run(folder / "").train_loss, expected) << steps;
  }
}

}  // namespace
}  // namespace rowan
