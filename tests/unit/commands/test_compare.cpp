#include <fmt/format.h>
#include <gtest/gtest.h>

#include <sstream>

#include "base/files.h"
#include "base/json.h"
#include "commands/commands.h"
#include "temporary_folder.h"
#include "unit/commands/run_command.h"

namespace rowan {
namespace {

namespace fs = std::filesystem;

class Compare : public ::testing::Test {
 protected:
  // Writes a run of 40 steps that was evaluated twice. A loss that is not finite is null. Returns the run's folder.
  std::string write_run(const std::string& name, const std::vector<std::string>& losses) {
    fs::create_directories(folder_ / name);
    folder_.write(name + "/config.json", R"({"optimizer": {"name": "adamw", "lr": 0.01}, "run": {"steps": 40}})");
    std::string rows;
    for (int step = 0; const std::string& loss : losses) {
      step += 20;
      rows += fmt::format("{{\"step\": {0}, \"loss\": {1}, \"tokens\": {0}, \"seconds\": 1}}\n", step, loss);
      rows += fmt::format("{{\"step\": {}, \"val_loss\": {}}}\n", step, loss);
    }
    folder_.write(name + "/metrics.jsonl", rows);
    return folder_ / name;
  }

  // The standard output of the command.
  static std::string run(void (*add)(CommandLine&), const std::string& arguments) {
    const Told told = run_command(add, arguments);
    EXPECT_EQ(told.error, "");
    return told.out;
  }

  TemporaryFolder folder_;
};

TEST_F(Compare, ADivergedRunIsBehindTheFiniteOnes) {
  const std::string runs = write_run("new", {}) + " " + write_run("diverged", {"2.5", "null"}) + " " +
                           write_run("stopped", {"null"}) + " " + write_run("worse", {"4", "3.5"}) + " " +
                           write_run("better", {"4", "3"});
  const Json rows = Json::parse(run(add_compare, runs + " --format json"))["rows"];
  const std::vector<std::string> order = {"better", "worse", "diverged", "stopped", "new"};
  ASSERT_EQ(rows.size(), order.size());
  for (size_t i = 0; i < order.size(); ++i) EXPECT_EQ(rows[i]["run"], folder_ / order[i]);
  EXPECT_EQ(rows[1]["val_loss"], 3.5);
  EXPECT_TRUE(rows[2]["val_loss"].is_null());
  EXPECT_TRUE(rows[2]["perplexity"].is_null());
  EXPECT_EQ(rows[2]["best"], 2.5);
  const std::string text = run(add_compare, runs + " --format text");
  std::istringstream lines(text);
  size_t diverged = 0;
  for (std::string row; std::getline(lines, row);) diverged += row.find(" diverged ") != std::string::npos;
  EXPECT_EQ(diverged, 2) << text;
  const std::string csv = run(add_compare, runs + " --format csv");
  EXPECT_NE(csv.find("/diverged,adamw,0.01,,40,40.0,,,,2.5,40.0,1.0\n"), std::string::npos) << csv;
  EXPECT_EQ(csv.find("null"), std::string::npos) << csv;
  run(add_report, runs + " --out " + folder_ / "page.html");
  EXPECT_NE(read_file(folder_ / "page.html").find("<td>diverged</td>"), std::string::npos);
}

TEST_F(Compare, AFolderWhoseNameIsNotUtf8IsShown) {
  const std::string name = write_run("run\xff", {"3"});
  const Json rows = Json::parse(run(add_compare, name + " --format json"))["rows"];
  ASSERT_EQ(rows.size(), 1u);
  EXPECT_EQ(rows[0]["run"], folder_ / "run\ufffd");
  for (const char* format : {"text", "markdown", "csv"})
    EXPECT_NE(run(add_compare, name + " --format " + format).find("run\xff"), std::string::npos) << format;
  run(add_report, name + " --out " + folder_ / "page.html");
}

}  // namespace
}  // namespace rowan
