#include <fmt/format.h>
#include <gtest/gtest.h>

#include <filesystem>

#include "base/error.h"
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

TEST(Results, ARunIsReadOnce) {
  TemporaryFolder folder;
  for (const char* name : {"a", "b"}) {
    std::filesystem::create_directory(folder / name);
    folder.write(std::string(name) + "/config.json", R"({"run": {"steps": 1}})");
    folder.write(std::string(name) + "/metrics.jsonl", "{\"step\": 1, \"loss\": 2}\n");
  }
  std::filesystem::create_directory_symlink("a", folder / "link");
  auto error = [&](const std::string& second) {
    try {
      read_runs({folder / "a", folder / second}, {});
    } catch (const Error& error) {
      return std::string(error.what());
    }
    return std::string();
  };
  EXPECT_EQ(error("b"), "");
  EXPECT_EQ(error("a"), folder / "a" + std::string(": given twice"));
  for (const char* other : {"link", "b/../a"})
    EXPECT_EQ(error(other), folder / other + std::string(": given twice, also as ") + (folder / "a"));
}

}  // namespace
}  // namespace rowan
